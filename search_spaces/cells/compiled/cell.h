// The search-time cell: which loops run on which maps, for the edges that leave a state and for a node.
//
// States are numbered 0 to 5; the first two are the cell's inputs, the others its nodes, each of which reads all states
// before it. An edge computes nine maps from its state. BatchNorm is only a scale and a shift per channel, so maps are
// kept as they are before it, and it is applied where they are read: before the second convolution of a sep_conv, and
// where a node sums its inputs.

#pragma once

#include "loops.h"

constexpr int64_t INPUTS = 2, STATES = 6, CONVOLUTIONS = 6, MAPS = 9, CANDIDATES = 8;

struct Convolution {
  const void *depthwise, *pointwise;
  void *grad_depthwise, *grad_pointwise;  // null: not wanted
};

struct Running {  // statistics of a BatchNorm; null: there are none
  void *mean, *variance;
  int64_t* batches;
};

struct Edge {
  Convolution convolutions[CONVOLUTIONS];
  Running running[MAPS];
  int64_t computed[MAPS];
};

struct State {    // that edges leave, and what they compute from it; H', W' are sizes of a node
  const void* x;  // [B, H, W, pixel], of inputs; of nodes [B, H', W', pixel]
  int64_t pixel;
  void *convolutions, *pools;  // before BatchNorm: [edges, 6, B, H', W', C]; maximum and mean, [2, B, H', W', C]
  double* norm;                // scale and shift of BatchNorm: [edges, 9, 2, C]
  void* skips;                 // before BatchNorm: [B, H', W', skip_pixel] each, skip_edge elements apart
  int64_t skip_pixel, skip_edge;
};

struct Cell {
  int64_t is_double, batch, height, width, channels, stride;  // of the inputs, and of the edges that leave them
  int64_t is_training, updates, has_skip_convs;               // updates: the running statistics
  double eps, momentum;
  const Edge* edges;
  const double* weights;  // of the candidates: [14, 8]
  State states[STATES - 1];
  int threads;
};

struct Gradients {                     // of a state and of what its edges compute
  const void* nodes[STATES - INPUTS];  // of the nodes: [B, H', W', C]
  void* x;                             // receives that of the state: [B, H, W, pixel]
  int64_t pixel;
  int64_t accumulates, has_identity_skips;  // whether x holds a part already; whether skips are the state itself
  void* pools;                              // receives those of both poolings: [2, B, H', W', C]
  void* grad_first;  // receives those of the first convolutions, after BatchNorm: [edges, 2, B, H', W', C]
  void* skips;       // receives those of the skips' convolutions, laid out like the skips
  double* weights;   // receives those of the candidates' weights: [14, 8]
  int64_t needs_x;   // whether more than these last are wanted
};

namespace {

// Maps of an edge: both sep_convs' first convolutions, both their second, both dil_convs, the poolings, the skip. All
// but the first two go into a node.
constexpr int64_t KERNEL[] = {3, 5, 3, 5, 3, 5}, DILATION[] = {1, 1, 1, 1, 2, 2};
constexpr int64_t FIRST[] = {0, 1}, SECOND[] = {2, 3}, ON_STATE[] = {0, 1, 4, 5};
constexpr int64_t INTO_NODE = 2, MAX = 6, MEAN = 7, SKIP = 8;
constexpr int64_t CANDIDATE[] = {4, 5, 4, 5, 6, 7, 1, 2, 3};  // column of a map's weight

struct Map {
  const void* at;
  int64_t pixel;
};

class CellPass {
 public:
  explicit CellPass(const Cell& cell)
      : cell(cell),
        C(cell.channels),
        out{cell.batch, (cell.height - 1) / cell.stride + 1, (cell.width - 1) / cell.stride + 1, C, 1, C},
        pixels(out.batch * out.height * out.width),
        size(pixels * C) {}

  // All maps that the edges from a state compute, and their BatchNorm. Skips that are convolutions are there already.
  void edges(int64_t state) const {
    const State& own = cell.states[state];
    std::vector<double> sums(count(state) * MAPS * 2 * C);
    const auto sums_of = [&](int64_t k, int64_t map) { return sums.data() + (k * MAPS + map) * 2 * C; };
    std::vector<Job> jobs;
    for (int64_t k = 0; k < count(state); k++)
      for (int64_t map : ON_STATE)
        if (edge(state, k).computed[map]) jobs.push_back(job(state, k, map, own.x, nullptr, sums_of(k, map)));
    if (!jobs.empty()) run_forward(cell.is_double, input(state), jobs.data(), jobs.size(), cell.threads);
    normalize(state, 0, INTO_NODE, sums);
    jobs.clear();
    for (int64_t k = 0; k < count(state); k++)
      for (int64_t map : SECOND)
        if (edge(state, k).computed[map])
          jobs.push_back(job(state, k, map, convolution(state, k, map - 2), norm(state, k, map - 2), sums_of(k, map)));
    if (!jobs.empty()) run_forward(cell.is_double, out, jobs.data(), jobs.size(), cell.threads);
    if (computes(state, MAX) || computes(state, MEAN)) {
      std::vector<double> pool_sums(4 * C);
      run_pool(cell.is_double, input(state), own.x, own.pools, pool(state, MEAN), pool_sums.data(), cell.threads);
      for (int64_t k = 0; k < count(state); k++) std::copy(pool_sums.begin(), pool_sums.end(), sums_of(k, MAX));
    }
    if (cell.has_skip_convs && state < INPUTS) add_up_skips(state, sums);
    normalize(state, INTO_NODE, MAPS, sums);
  }

  // The sum of what the edges to a node compute, times the weights; `to` is [B, H', W', pixel].
  void node(int64_t node, void* to, int64_t pixel) const {
    std::vector<Term> terms;
    std::vector<double> coefficients(node * MAPS * 2 * C);
    for (int64_t state = 0; state < node; state++) {
      const int64_t k = node - first_node(state);
      for (int64_t map = INTO_NODE; map < MAPS; map++)
        if (edge(state, k).computed[map]) {
          double* own = coefficients.data() + (state * MAPS + map) * 2 * C;
          for (int64_t c = 0; c < 2 * C; c++) own[c] = weight(state, k, map) * norm(state, k, map)[c];
          const Map from = map_of(state, k, map);
          terms.push_back({from.at, own, own + C, from.pixel, to, pixel});
        }
    }
    if (terms.empty())
      for (int64_t p = 0; p < pixels; p++) std::memset(at(to, p * pixel), 0, C * item());
    else
      run_combine(cell.is_double, out, terms.data(), terms.size(), cell.threads);
  }

  // From the gradients of the nodes that read a state to its own, and to those of its edges' weights. For z = w * u,
  // u = s * y + t and n pixels, BatchNorm passes on
  //   dL/dy = w * s * (g - sum(g) / n - u * sum(g * u) / n),    dL/dw = sum over channels of sum(g * u).
  void backward(int64_t state, const Gradients& grads) const {
    const int64_t n = count(state);
    std::vector<double> last(n * MAPS * 3 * C), first(n * INTO_NODE * 3 * C);  // p, q, r of dL/dy = p * g + q * y + r
    through_nodes(state, grads, last);
    if (!grads.needs_x) return;
    std::vector<double> sums(n * INTO_NODE * 2 * C);
    std::vector<Job> jobs;
    for (int64_t k = 0; k < n; k++)
      for (int64_t map : FIRST)
        if (edge(state, k).computed[map]) {
          Job made = job(state, k, map + 2, convolution(state, k, map), norm(state, k, map),
                         sums.data() + (k * INTO_NODE + map) * 2 * C);
          made.grad = node_grad(grads, state, k), made.epilogue = last.data() + (k * MAPS + map + 2) * 3 * C;
          made.grad_x = grad_first(grads, k, map), made.grad_x_pixel = C;
          jobs.push_back(made);
        }
    if (!jobs.empty()) run_backward(cell.is_double, out, jobs.data(), jobs.size(), cell.threads);
    for (int64_t k = 0; k < n; k++)
      for (int64_t map : FIRST) {
        const double *scale = norm(state, k, map), *own = sums.data() + (k * INTO_NODE + map) * 2 * C;
        for (int64_t c = 0; c < C; c++)
          norm_gradient(scale[c], scale[c], scale[C + c], own[c], own[C + c],
                        first.data() + (k * INTO_NODE + map) * 3 * C + c);
      }
    through_skips_and_pools(state, grads, last);
    jobs.clear();
    for (int64_t k = 0; k < n; k++)
      for (int64_t map : ON_STATE)
        if (edge(state, k).computed[map]) {
          const bool is_first = map < INTO_NODE;
          Job made = job(state, k, map, cell.states[state].x, nullptr, nullptr);
          made.grad = is_first ? grad_first(grads, k, map) : node_grad(grads, state, k);
          made.epilogue =
              is_first ? first.data() + (k * INTO_NODE + map) * 3 * C : last.data() + (k * MAPS + map) * 3 * C;
          made.grad_x = grads.x, made.grad_x_pixel = grads.pixel, made.accumulate = 1;
          jobs.push_back(made);
        }
    if (!jobs.empty()) run_backward(cell.is_double, input(state), jobs.data(), jobs.size(), cell.threads);
  }

 private:
  const Cell& cell;
  const int64_t C;
  const Shape out;  // of the nodes
  const int64_t pixels, size;

  int64_t item() const { return cell.is_double ? sizeof(double) : sizeof(float); }
  char* at(void* start, int64_t elements) const { return static_cast<char*>(start) + elements * item(); }

  static int64_t first_node(int64_t state) { return std::max(state + 1, INPUTS); }
  static int64_t count(int64_t state) { return STATES - first_node(state); }
  const Edge& edge(int64_t state, int64_t k) const { return cell.edges[row(state, k)]; }
  double weight(int64_t state, int64_t k, int64_t map) const {
    return cell.weights[row(state, k) * CANDIDATES + CANDIDATE[map]];
  }
  static int64_t row(int64_t state, int64_t k) {  // of the k-th edge from a state, among all edges of the cell
    const int64_t node = first_node(state) + k;
    return node * (node - 1) / 2 - 1 + state;
  }
  bool computes(int64_t state, int64_t map) const {
    for (int64_t k = 0; k < count(state); k++)
      if (edge(state, k).computed[map]) return true;
    return false;
  }

  Shape input(int64_t state) const {
    Shape s = out;
    if (state < INPUTS) s.height = cell.height, s.width = cell.width, s.stride = cell.stride;
    s.pixel = cell.states[state].pixel;
    return s;
  }
  char* convolution(int64_t state, int64_t k, int64_t map) const {
    return at(cell.states[state].convolutions, (k * CONVOLUTIONS + map) * size);
  }
  char* pool(int64_t state, int64_t map) const { return at(cell.states[state].pools, (map - MAX) * size); }
  double* norm(int64_t state, int64_t k, int64_t map) const {
    return cell.states[state].norm + (k * MAPS + map) * 2 * C;
  }
  Map map_of(int64_t state, int64_t k, int64_t map) const {
    const State& own = cell.states[state];
    if (map < MAX) return {convolution(state, k, map), C};
    if (map < SKIP) return {pool(state, map), C};
    return {at(own.skips, k * own.skip_edge), own.skip_pixel};
  }
  const void* node_grad(const Gradients& grads, int64_t state, int64_t k) const {
    return grads.nodes[first_node(state) + k - INPUTS];
  }
  char* grad_first(const Gradients& grads, int64_t k, int64_t map) const {
    return at(grads.grad_first, (k * INTO_NODE + map) * size);
  }

  Job job(int64_t state, int64_t k, int64_t map, const void* x, const double* prologue, double* sums) const {
    const Convolution& layers = edge(state, k).convolutions[map];
    Job made{x,    layers.depthwise, layers.pointwise, prologue, convolution(state, k, map),
             sums, KERNEL[map],      DILATION[map]};
    made.grad_depthwise = layers.grad_depthwise, made.grad_pointwise = layers.grad_pointwise, made.grad_pixel = C;
    return made;
  }

  void add_up_skips(int64_t state, std::vector<double>& sums) const {
    const State& own = cell.states[state];
    const std::vector<double> one(C, 1.0);
    std::vector<Term> terms;
    for (int64_t k = 0; k < count(state); k++) {
      void* map = at(own.skips, k * own.skip_edge);
      terms.push_back({nullptr, nullptr, one.data(), 0, map, own.skip_pixel});
      terms.push_back({map, nullptr, nullptr, own.skip_pixel, map, own.skip_pixel});
    }
    std::vector<double> found(terms.size() * C);
    run_dots(cell.is_double, out, terms.data(), terms.size(), found.data(), cell.threads);
    for (int64_t k = 0; k < count(state); k++)
      std::copy_n(found.data() + k * 2 * C, 2 * C, sums.data() + (k * MAPS + SKIP) * 2 * C);
  }

  // BatchNorm of the maps [from, to) of a state's edges. An identity has none.
  void normalize(int64_t state, int64_t from, int64_t to, const std::vector<double>& sums) const {
    std::vector<Norm> norms;
    for (int64_t k = 0; k < count(state); k++)
      for (int64_t map = from; map < to; map++) {
        const Running& running = edge(state, k).running[map];
        const bool is_tracked = cell.updates || !cell.is_training;
        if (map == SKIP && !(cell.has_skip_convs && state < INPUTS)) {
          std::fill_n(norm(state, k, map), C, 1.0), std::fill_n(norm(state, k, map) + C, C, 0.0);
        } else if (edge(state, k).computed[map]) {
          norms.push_back({cell.is_training ? sums.data() + (k * MAPS + map) * 2 * C : nullptr, norm(state, k, map),
                           is_tracked ? running.mean : nullptr, running.variance, running.batches});
        }
      }
    if (!norms.empty()) run_normalize(cell.is_double, out, norms.data(), norms.size(), cell.eps, cell.momentum);
  }

  // p, q, r of a channel, C elements apart; scaled: the weight times the scale; sum of g; product: sum of g * u.
  void norm_gradient(double scaled, double scale, double shift, double sum, double product, double* p) const {
    const double share = cell.is_training ? scaled / pixels : 0;
    p[0] = scaled, p[C] = -share * product * scale, p[2 * C] = -share * (product * shift + sum);
  }

  // The gradients of the weights, and what takes those of the nodes to every map that goes into them.
  void through_nodes(int64_t state, const Gradients& grads, std::vector<double>& last) const {
    const std::vector<double> one(C, 1.0);
    std::vector<Term> terms;
    for (int64_t k = 0; k < count(state); k++) {
      void* g = const_cast<void*>(node_grad(grads, state, k));
      terms.push_back({nullptr, nullptr, one.data(), 0, g, C});
      for (int64_t map = INTO_NODE; map < MAPS; map++)
        if (edge(state, k).computed[map]) {
          const Map from = map_of(state, k, map);
          terms.push_back({from.at, norm(state, k, map), norm(state, k, map) + C, from.pixel, g, C});
        }
    }
    std::vector<double> found(terms.size() * C), none(C);
    run_dots(cell.is_double, out, terms.data(), terms.size(), found.data(), cell.threads);
    const double* next = found.data();
    for (int64_t k = 0; k < count(state); k++) {
      const double* sum = next;
      next += C;
      for (int64_t map = INTO_NODE; map < MAPS; map++) {
        const bool is_computed = edge(state, k).computed[map];
        const double *product = is_computed ? next : none.data(), *scale = norm(state, k, map);
        next += is_computed ? C : 0;
        double total = 0;
        for (int64_t c = 0; c < C; c++) {
          total += product[c];
          norm_gradient(scale[c] * weight(state, k, map), scale[c], scale[C + c], sum[c], product[c],
                        last.data() + (k * MAPS + map) * 3 * C + c);
        }
        grads.weights[row(state, k) * CANDIDATES + CANDIDATE[map]] = total;
      }
    }
  }

  // Skips and poolings together, so that the gradient of each node is read once.
  void through_skips_and_pools(int64_t state, const Gradients& grads, const std::vector<double>& last) const {
    const State& own = cell.states[state];
    const auto p = [&](int64_t k, int64_t map) { return last.data() + (k * MAPS + map) * 3 * C; };
    std::vector<Term> terms;
    if (cell.has_skip_convs && state < INPUTS) {
      for (int64_t k = 0; k < count(state); k++) {
        void* to = at(grads.skips, k * own.skip_edge);
        terms.push_back({node_grad(grads, state, k), p(k, SKIP), nullptr, C, to, own.skip_pixel});
        terms.push_back(
            {at(own.skips, k * own.skip_edge), p(k, SKIP) + C, p(k, SKIP) + 2 * C, own.skip_pixel, to, own.skip_pixel});
      }
    } else if (grads.has_identity_skips) {
      for (int64_t k = 0; k < count(state); k++)
        terms.push_back({node_grad(grads, state, k), p(k, SKIP), nullptr, C, grads.x, grads.pixel});
      if (grads.accumulates) terms.push_back({grads.x, nullptr, nullptr, grads.pixel, grads.x, grads.pixel});
    }
    const bool is_pooled = computes(state, MAX) || computes(state, MEAN);
    std::vector<double> shared(2 * 2 * C);  // q and r of the poolings, which the edges share
    for (int64_t map = MAX; map < SKIP && is_pooled; map++) {
      double* q = shared.data() + (map - MAX) * 2 * C;
      void* to = at(grads.pools, (map - MAX) * size);
      for (int64_t k = 0; k < count(state); k++) {
        terms.push_back({node_grad(grads, state, k), p(k, map), nullptr, C, to, C});
        for (int64_t c = 0; c < 2 * C; c++) q[c] += p(k, map)[C + c];
      }
      terms.push_back({pool(state, map), q, q + C, C, to, C});
    }
    if (!terms.empty()) run_combine(cell.is_double, out, terms.data(), terms.size(), cell.threads);
    if (is_pooled)
      run_pool_backward(cell.is_double, input(state), own.x, own.pools, grads.pools, at(grads.pools, size), grads.x,
                        grads.pixel, cell.threads);
  }
};

}  // namespace
