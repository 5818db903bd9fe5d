// Separable convolutions, forward and backward: relu(scale * x + shift), depthwise, pointwise.
//
// Each thread goes through all jobs for an image while the image lies in its cache, row by row, with nothing between
// the operations of a job written to memory.

#pragma once

#include <memory>

#include "depthwise.h"
#include "pointwise.h"

struct Job {
  const void *x, *depthwise, *pointwise;  // [B, H, W, pixel], [C, 1, kernel, kernel], [C, C, 1, 1]
  const double* prologue;                 // scale [C], shift [C]; null for relu(x)
  void* y;                                // [B, H', W', C]
  double* sums;  // forward: of y, of y^2; backward: of grad_x, of grad_x * relu(...), at stride 1; [2, C] or null
  int64_t kernel, dilation;
  // Backward only. The gradient of y is p * grad + q * y + r.
  const void* grad;                       // [B, H', W', grad_pixel]
  const double* epilogue;                 // p, q, r: [3, C]
  void* grad_x;                           // of scale * x + shift: [B, H, W, grad_x_pixel]
  void *grad_depthwise, *grad_pointwise;  // null: not wanted
  int64_t grad_pixel, grad_x_pixel;
  int64_t accumulate;  // to grad_x; jobs without sums that follow each other with the same x and grad_x add up anyway
};

namespace {

template <typename T, int BYTES>
struct Convolutions : Depthwise<T, BYTES>, Pointwise<T, BYTES> {
  using Lanes = Vectors<T, BYTES>;
  using D = Depthwise<T, BYTES>;
  using P = Pointwise<T, BYTES>;
  using V = typename Lanes::V;
  using Image = typename D::Image;
  static constexpr int64_t LANES = Lanes::LANES, TAPS = 25;  // of the largest kernel
  static int64_t padded(int64_t channels) { return Lanes::padded(channels); }
  static V get(const T* from) { return Lanes::get(from); }
  static V get(const T* from, int64_t left) { return Lanes::get(from, left); }
  static void put(T* to, V v) { Lanes::put(to, v); }

  struct Weights {         // of a job, as the loops read them, with channels padded
    T *taps, *flipped;     // [K, K, wide]
    T* matrix;             // forward: [in, out]; backward: [out, in]
    T *scale, *shift, *p;  // [wide] each; p, q, r

    static int64_t size(int64_t wide) { return (2 * TAPS + wide + 5) * wide; }

    Weights(T* at, int64_t wide)
        : taps(at),
          flipped(taps + TAPS * wide),
          matrix(flipped + TAPS * wide),
          scale(matrix + wide * wide),
          shift(scale + wide),
          p(shift + wide) {}

    void pack(const Job& job, int64_t channels, int64_t wide) {
      const int64_t count = job.kernel * job.kernel;
      const T* depthwise = static_cast<const T*>(job.depthwise);
      const T* pointwise = static_cast<const T*>(job.pointwise);
      for (int64_t c = 0; c < channels; c++) {
        for (int64_t t = 0; t < count; t++)
          taps[t * wide + c] = flipped[(count - 1 - t) * wide + c] = depthwise[c * count + t];
        if (job.grad)
          std::copy_n(pointwise + c * channels, channels, matrix + c * wide);
        else
          for (int64_t k = 0; k < channels; k++) matrix[k * wide + c] = pointwise[c * channels + k];
      }
      std::fill(scale, scale + channels, T(1));
      for (int k = 0; k < 2 && job.prologue; k++) Lanes::widen(job.prologue + k * channels, channels, scale + k * wide);
      for (int k = 0; k < 3 && job.epilogue; k++) Lanes::widen(job.epilogue + k * channels, channels, p + k * wide);
    }
  };

  static std::vector<T> pack(const Job* jobs, int64_t n, int64_t channels, int threads) {
    const int64_t wide = padded(channels), size = Weights::size(wide);
    std::vector<T> packed(n * size);
#pragma omp parallel for num_threads(threads)
    for (int64_t k = 0; k < n; k++) Weights(packed.data() + k * size, wide).pack(jobs[k], channels, wide);
    return packed;
  }

  // The image of x that a job reads, whose rows are loaded when they are needed.
  struct Input {
    Image image;
    const T *x, *scale, *shift;
    int64_t pixel, height, width, channels, loaded;

    void load_until(int64_t end) {
      for (end = std::min(end, height); loaded < end; loaded++)
        P::activate(x + loaded * width * pixel, pixel, scale, shift, channels, width, image.inside(loaded));
    }
  };

  static bool same_input(const Job& one, const Job& other) {
    return one.x == other.x && one.prologue == other.prologue;
  }

  // Whether the gradients of both inputs are added up.
  static bool same_target(const Job& one, const Job& other) {
    return same_input(one, other) && one.grad_x == other.grad_x && !one.sums && !other.sums;
  }

  // Of image b; what the job before has loaded is kept where it is the same.
  static void turn_to(Input& input, const Job* jobs, int64_t k, int64_t b, const Weights& weights, const Shape& s) {
    if (k == 0 || !same_input(jobs[k], jobs[k - 1])) input.loaded = 0;
    input.x = static_cast<const T*>(jobs[k].x) + b * s.height * s.width * s.pixel;
    input.scale = weights.scale, input.shift = weights.shift;
  }

  static void add_sums(const std::vector<double>& partial, const Job* jobs, int64_t n, int64_t channels,
                       int64_t parts) {
    const int64_t count = 2 * channels;
    for (int64_t k = 0; k < n; k++)
      if (jobs[k].sums) add_parts(partial.data() + k * count, parts, n * count, count, jobs[k].sums);
  }

  // Whether the outputs, of so many elements each, are whole lines and more than the caches of a core hold.
  static bool is_for_stream(const Job* jobs, int64_t n, int64_t elements, int64_t channels) {
    bool is_aligned = channels % LANES == 0;
    for (int64_t k = 0; k < n; k++) is_aligned = is_aligned && reinterpret_cast<uintptr_t>(jobs[k].y) % 64 == 0;
    return is_aligned && n * elements * int64_t(sizeof(T)) >= int64_t(1) << 22;
  }

  static void forward(const Job* jobs, int64_t n, const Shape& s, int threads) {
    const int64_t channels = s.channels, wide = padded(channels), parts = count_parts(s.batch);
    const int64_t rows = s.out_height(), count = s.out_width(), pitch = (s.width + 2 * PAD) * wide;
    const int64_t image_size = (s.height + 2 * PAD) * pitch, size = Weights::size(wide);
    const bool streams = is_for_stream(jobs, n, s.batch * rows * count * channels, channels);
    std::vector<T> packed = pack(jobs, n, channels, threads);
    std::vector<double> partial(parts * n * 2 * channels);
#pragma omp parallel num_threads(threads)
    {
      T* memory = scratch<T>(image_size + count * wide + 2 * wide);
      T *middle = memory + image_size, *row_sums = middle + count * wide;
      Input input{{memory, pitch, wide}, nullptr, nullptr, nullptr, s.pixel, s.height, s.width, channels, 0};
#pragma omp for schedule(dynamic, 1)
      for (int64_t part = 0; part < parts; part++)
        for (int64_t b = part * s.batch / parts; b < (part + 1) * s.batch / parts; b++)
          for (int64_t k = 0; k < n; k++) {
            const Job& job = jobs[k];
            const Weights weights(packed.data() + k * size, wide);
            double* sums = partial.data() + (part * n + k) * 2 * channels;
            turn_to(input, jobs, k, b, weights, s);
            T* y = static_cast<T*>(job.y) + b * rows * count * channels;
            for (int64_t i = 0; i < rows; i++) {
              input.load_until(i * s.stride + PAD + 1);
              D::convolve(job.kernel, job.dilation, s.stride, input.image.row(i * s.stride), weights.taps, count,
                          middle);
              P::multiply_for_norm(middle, {channels, wide, channels, wide}, weights.matrix, y + i * count * channels,
                                   streams ? 0 : AHEAD * count * channels, count, row_sums);
              Lanes::flush(row_sums, channels, sums), Lanes::flush(row_sums + wide, channels, sums + channels);
            }
          }
      if (streams) Lanes::end_stream();
    }
    add_sums(partial, jobs, n, channels, parts);
  }

  // What the next job of a thread reads from memory: it is asked for, pixel by pixel, during the arithmetic of this
  // one.
  struct Next {
    const T *x, *y, *grad;
    int64_t width, x_pixel, y_pixel, grad_pixel;

    Next(const Job* jobs, int64_t n, int64_t k, int64_t b, const Shape& s)
        : width(s.width), x_pixel(s.pixel), y_pixel(s.channels), grad_pixel(jobs[(k + 1) % n].grad_pixel) {
      const Job &job = jobs[k], &next = jobs[(k + 1) % n];
      const int64_t image = b + (k + 1) / n, pixels = s.height * s.width;
      x = static_cast<const T*>(next.x) + image * pixels * x_pixel;
      y = static_cast<const T*>(next.y) + image * pixels * y_pixel;
      grad = static_cast<const T*>(next.grad) + image * pixels * grad_pixel;
      // What this job has read is not asked for again.
      if (next.x == job.x && image == b) x = y, x_pixel = y_pixel;
      if (next.grad == job.grad && image == b) grad = y, grad_pixel = y_pixel;
    }
    Next at(int64_t i, int64_t c) const {
      Next moved = *this;
      moved.x += i * width * x_pixel + c, moved.y += i * width * y_pixel + c, moved.grad += i * width * grad_pixel + c;
      return moved;
    }
    INLINE void read_soon(int64_t j) const {
      Lanes::read_soon(x + j * x_pixel), Lanes::read_soon(y + j * y_pixel), Lanes::read_soon(grad + j * grad_pixel);
    }
  };

  // Takes a row of the gradient of relu(x), passes on what relu does, and adds it up for the BatchNorm before.
  struct Masked {
    const T* active;
    T *to, *sums;
    int64_t wide, pixel, ahead, left;
    Next next;
    V sum = {}, products = {};

    INLINE void operator()(int64_t j, V g) {
      next.read_soon(j);
      const V value = get(active + j * wide), zero = {};
      const V v = value <= zero ? zero : g;
      sum += v, products += v * value;
      Lanes::write_soon(to + ahead + j * pixel);
      Lanes::put(to + j * pixel, v, left);
    }
    INLINE ~Masked() { put(sums, sum), put(sums + wide, products); }
  };

  // Takes a row of the gradient of relu(x) and adds it to those of the jobs before.
  struct Gathered {
    T* to;
    int64_t wide;
    Next next;

    INLINE void operator()(int64_t j, V g) const {
      next.read_soon(j);
      put(to + j * wide, get(to + j * wide) + g);
    }
  };

  // What a thread needs to take images through the backward pass, one job after the other.
  struct ImageBackward {
    const Job* jobs;
    int64_t n;
    Shape s;
    int64_t channels = s.channels, wide = padded(channels), rows = s.out_height(), count = s.out_width();
    int64_t pitch = (s.width + 2 * PAD) * wide, image_size = (s.height + 2 * PAD) * pitch;
    int64_t block = std::clamp<int64_t>(32 / count, 1, rows);  // so many rows are worth a pass over the weights
    bool strided = s.stride > 1;
    T* memory = scratch<T>(3 * image_size + 2 * block * count * wide + 2 * wide);
    Input input{{memory, pitch, wide}, nullptr, nullptr, nullptr, s.pixel, s.height, s.width, channels, 0};
    // The gradient between depthwise and pointwise: with a border for a convolution, without for a scatter.
    Image inner{memory + image_size, strided ? count * wide : pitch, wide};
    T* inner_start = strided ? inner.at : inner.inside(0);
    Image gathered{inner.at + image_size, pitch, wide};  // the gradient of relu(x)
    T *grad_y = gathered.at + image_size, *middle = grad_y + block * count * wide;
    T* row_sums = middle + block * count * wide;

    // Job k of image b. The gradients of the weights are added to `weight_grads`, unless that is null.
    void run(int64_t k, int64_t b, const Weights& weights, T* weight_grads, double* sums) {
      const Job& job = jobs[k];
      T* grad_x = static_cast<T*>(job.grad_x) + b * s.height * s.width * job.grad_x_pixel;
      const Next next(jobs, n, k, b, s);
      turn_to(input, jobs, k, b, weights, s);
      if (!job.sums && (k == 0 || !same_target(job, jobs[k - 1]))) std::memset(gathered.at, 0, image_size * sizeof(T));
      for (int64_t i = 0, done = 0; i < s.height; i++) {
        for (const int64_t end = strided ? rows : std::min(i + PAD + 1, rows); done < end;) {
          const int64_t some = std::min(block, rows - done);
          input.load_until((done + some - 1) * s.stride + PAD + 1);
          through_pointwise(job, b, weights, done, some, weight_grads);
          done += some;
        }
        if (strided) break;
        through_depthwise(job, weights, i, grad_x + i * s.width * job.grad_x_pixel, next, sums);
      }
      if (strided) D::scatter(job.kernel, job.dilation, s.stride, inner.at, rows, count, weights.taps, gathered);
      if (!job.sums && (k == n - 1 || !same_target(jobs[k + 1], job)))
        for (int64_t i = 0; i < s.height; i++)
          P::through_relu(gathered.inside(i), input.image.inside(i), channels, s.width, job.accumulate,
                          grad_x + i * s.width * job.grad_x_pixel, job.grad_x_pixel);
    }

    // `some` rows of y, from row `from` on: into `inner`, and to the gradients of the weights.
    void through_pointwise(const Job& job, int64_t b, const Weights& weights, int64_t from, int64_t some,
                           T* weight_grads) {
      const int64_t first = (b * rows + from) * count;
      const typename P::Sizes sizes{channels, wide, channels, wide};
      P::through_norm(static_cast<const T*>(job.grad) + first * job.grad_pixel, job.grad_pixel,
                      static_cast<const T*>(job.y) + first * channels, weights.p, channels, some * count, grad_y);
      T* to = inner_start + from * inner.pitch;
      for (int64_t i = 0; i < some; i++)
        P::multiply(grad_y + i * count * wide, sizes, weights.matrix, to + i * inner.pitch, count);
      if (!weight_grads) return;
      const Image image = input.image.row(from * s.stride);
      for (int64_t i = 0; i < some; i++)
        D::convolve(job.kernel, job.dilation, s.stride, image.row(i * s.stride), weights.taps, count,
                    middle + i * count * wide);
      P::gradient(grad_y, middle, sizes, some * count, weight_grads + TAPS * wide);
      D::gradient(job.kernel, job.dilation, s.stride, image, to, inner.pitch, some, count, weight_grads);
    }

    // Row i of x at stride 1: to its row of grad_x with sums for the BatchNorm before, or into `gathered`.
    void through_depthwise(const Job& job, const Weights& weights, int64_t i, T* grad_x, const Next& next,
                           double* sums) {
      if (!job.sums)
        return D::template convolve<1>(job.kernel, job.dilation, inner.row(i), weights.flipped, s.width,
                                       [&](int64_t c)
                                           INLINE { return Gathered{gathered.inside(i) + c, wide, next.at(i, c)}; });
      D::template convolve<1>(job.kernel, job.dilation, inner.row(i), weights.flipped, s.width, [&](int64_t c) INLINE {
        return Masked{input.image.inside(i) + c,          grad_x + c,   row_sums + c, wide, job.grad_x_pixel,
                      AHEAD * s.width * job.grad_x_pixel, channels - c, next.at(i, c)};
      });
      Lanes::flush(row_sums, channels, sums), Lanes::flush(row_sums + wide, channels, sums + channels);
    }
  };

  static void backward(const Job* jobs, int64_t n, const Shape& s, int threads) {
    const int64_t channels = s.channels, wide = padded(channels), size = Weights::size(wide);
    const int64_t weight_count = (TAPS + wide) * wide;
    const bool needs_weight_grads = jobs[0].grad_pointwise;
    const int64_t parts = count_parts(s.batch, needs_weight_grads ? n * weight_count * sizeof(T) : 0);
    std::vector<T> packed = pack(jobs, n, channels, threads);
    std::vector<double> partial(parts * n * 2 * channels);
    const std::unique_ptr<T[]> partial_grads(new T[needs_weight_grads ? parts * n * weight_count : 0]);
#pragma omp parallel num_threads(threads)
    {
      ImageBackward image{jobs, n, s};
#pragma omp for schedule(dynamic, 1)
      for (int64_t part = 0; part < parts; part++) {
        T* own = needs_weight_grads ? partial_grads.get() + part * n * weight_count : nullptr;
        if (own) std::memset(own, 0, n * weight_count * sizeof(T));
        for (int64_t b = part * s.batch / parts; b < (part + 1) * s.batch / parts; b++)
          for (int64_t k = 0; k < n; k++)
            image.run(k, b, Weights(packed.data() + k * size, wide), own ? own + k * weight_count : nullptr,
                      partial.data() + (part * n + k) * 2 * channels);
      }
    }
    add_sums(partial, jobs, n, channels, parts);
    if (needs_weight_grads) add_weight_grads(partial_grads.get(), jobs, n, channels, parts, threads);
  }

  // Adds up the parts of the gradients of all weights, [TAPS, wide] and [out, in] each, in the first part.
  static void add_weight_grads(T* partial, const Job* jobs, int64_t n, int64_t channels, int64_t parts, int threads) {
    const int64_t wide = padded(channels), weight_count = (TAPS + wide) * wide;
#pragma omp parallel for num_threads(threads)
    for (int64_t k = 0; k < n; k++) {
      T* sum = partial + k * weight_count;
      for (int64_t part = 1; part < parts; part++) {
        const T* own = partial + (part * n + k) * weight_count;
        for (int64_t i = 0; i < weight_count; i += LANES) put(sum + i, get(sum + i) + get(own + i));
      }
      const int64_t taps = jobs[k].kernel * jobs[k].kernel;
      T* grad_depthwise = static_cast<T*>(jobs[k].grad_depthwise);
      T* grad_pointwise = static_cast<T*>(jobs[k].grad_pointwise);
      for (int64_t c = 0; c < channels; c++) {
        for (int64_t t = 0; t < taps; t++) grad_depthwise[c * taps + t] = sum[t * wide + c];
        std::copy_n(sum + (TAPS + c) * wide, channels, grad_pointwise + c * channels);
      }
    }
  }
};

}  // namespace
