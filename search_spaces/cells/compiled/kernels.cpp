// The loops of the search-time cell on a CPU, in channels-last layout [B, H, W, C].
//
// A job is one separable convolution: relu(scale * x + shift), depthwise, pointwise. Threads share out the
// images; each goes through all jobs for an image while the image lies in its cache, with nothing between
// the operations of a job written to memory. Sums over images are kept per share and added in a fixed order, so
// that results do not depend on the number of threads.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

struct Shape {  // of the jobs of one call
  int64_t batch, height, width, channels, stride, pixel;  // pixel: elements from one pixel of x to the next
  int64_t out_height() const { return (height - 1) / stride + 1; }
  int64_t out_width() const { return (width - 1) / stride + 1; }
};

struct Job {
  const void *x, *depthwise, *pointwise;  // [B, H, W, pixel], [C, 1, kernel, kernel], [C, C, 1, 1]
  const double* prologue;                 // scale [C], shift [C]; null for relu(x)
  void* y;                                // [B, H', W', C]
  double* sums;         // forward: sum of y, of y^2; backward: sum of grad_x, of grad_x * relu(...); [2, C] or null
  int64_t kernel, dilation;
  // Backward only. The gradient of y is p * grad + q * y + r.
  const void* grad;       // [B, H', W', grad_pixel]
  const double* epilogue; // p, q, r: [3, C]
  void* grad_x;           // of scale * x + shift: [B, H, W, grad_x_pixel]
  void *grad_depthwise, *grad_pointwise;  // null: not wanted
  int64_t grad_pixel, grad_x_pixel, accumulate;
};

struct Term {  // scale * x + shift
  const void* x;  // [B, H, W, pixel]; null for 0
  const double *scale, *shift;  // [C]; null for 1 and 0
  int64_t pixel;
  void* map;  // what it is added to, or multiplied by: [B, H, W, map_pixel]
  int64_t map_pixel;
};

struct Norm {  // BatchNorm of a map
  const double* sums;      // of it, of its square: [2, C]
  double* coefficients;    // receives scale and shift: [2, C]
  void *mean, *variance;   // running statistics [C], which are updated; null: there are none
  int64_t* batches;
};

namespace {

constexpr int64_t PAD = 4;       // the widest: kernel 5, dilation 2
constexpr int64_t AHEAD = 2;     // rows of maps that are on their way from memory
constexpr int64_t SHARES = 64;   // at most so many shares of the batch

int64_t shares(int64_t batch) { return std::min(batch, SHARES); }

int64_t shares(int64_t batch, int64_t bytes) {  // fewer where each needs so many bytes: 64 MB, or 8 shares
  return std::min(batch, std::clamp<int64_t>((int64_t(1) << 26) / std::max<int64_t>(bytes, 1), 8, SHARES));
}

template <typename T>
T* scratch(size_t elements) {  // this thread's own memory, 64-byte aligned, zeroed
  thread_local std::vector<char> memory;
  if (memory.size() < elements * sizeof(T) + 64) memory.resize(elements * sizeof(T) + 64);
  char* start = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
  std::memset(start, 0, elements * sizeof(T));
  return reinterpret_cast<T*>(start);
}

template <typename T, int BYTES>
struct Loops {
  static constexpr int64_t LANES = BYTES / sizeof(T);
  typedef T V __attribute__((vector_size(BYTES)));
  typedef T Unaligned __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));

  static int64_t padded(int64_t channels) { return (channels + LANES - 1) / LANES * LANES; }

  // Scratch has its channels padded to whole vectors; tensors do not.
  static V get(const T* from) { return *reinterpret_cast<const Unaligned*>(from); }
  static void put(T* to, V v) { *reinterpret_cast<Unaligned*>(to) = v; }
  static V get(const T* from, int64_t left) {
    if (left >= LANES) return get(from);
    V v = {};
    for (int64_t lane = 0; lane < left; lane++) v[lane] = from[lane];
    return v;
  }
  static void put(T* to, V v, int64_t left) {
    if (left >= LANES) return put(to, v);
    for (int64_t lane = 0; lane < left; lane++) to[lane] = v[lane];
  }

  // Asks for memory that is read (or written) AHEAD rows later. A row of a map is too short, and there are too many
  // maps at a time, for the processor to foresee it. Beyond the end of a map this does nothing.
  static void read_soon(const T* at) { __builtin_prefetch(at, 0, 2); }
  static void write_soon(const T* at) { __builtin_prefetch(at, 1, 2); }

  static void widen(const double* from, int64_t channels, T* to) {  // a row of coefficients
    for (int64_t c = 0; c < channels; c++) to[c] = T(from[c]);
  }

  static void flush(T* row, int64_t channels, double* sums) {  // sums of one row of pixels, into double
    for (int64_t c = 0; c < channels; c++) sums[c] += double(row[c]), row[c] = 0;
  }

  // x [H, W, pixel] -> image [H + 2 PAD, W + 2 PAD, padded C], its border left as it is.
  static void load(const T* x, int64_t pixel, int64_t height, int64_t width, int64_t channels, const T* scale,
                   const T* shift, bool relu, T* image) {
    const int64_t wide = padded(channels), pitch = (width + 2 * PAD) * wide;
    const V zero = {};
    for (int64_t i = 0; i < height; i++)
      for (int64_t j = 0; j < width; j++) {
        const T* from = x + (i * width + j) * pixel;
        T* to = image + (i + PAD) * pitch + (j + PAD) * wide;
        for (int64_t c = 0; c < channels; c += LANES) {
          V v = get(from + c, channels - c);
          if (scale) v = v * get(scale + c) + get(shift + c);
          if (relu) v = v > zero ? v : zero;
          put(to + c, v);
        }
      }
  }

  // One row of a depthwise convolution. image: the first tap of the first output; taps [K, K, padded C].
  template <int K, int N>
  static void depthwise_tile(const T* image, int64_t pitch, int64_t wide, int64_t step, int64_t dilation,
                             const T* taps, T* out) {
    V sum[N] = {};
#pragma GCC unroll 5
    for (int i = 0; i < K; i++)
#pragma GCC unroll 5
      for (int j = 0; j < K; j++) {
        const V tap = get(taps + (i * K + j) * wide);
        const T* from = image + i * dilation * pitch + j * dilation * wide;
#pragma GCC unroll 8
        for (int n = 0; n < N; n++) sum[n] += tap * get(from + n * step * wide);
      }
    for (int n = 0; n < N; n++) put(out + n * wide, sum[n]);
  }

  template <int K>
  static void depthwise_row(const T* image, int64_t pitch, int64_t wide, int64_t step, int64_t dilation,
                            const T* taps, T* out, int64_t count) {
    for (int64_t c = 0; c < wide; c += LANES) {
      int64_t n = 0;
      for (; n + 8 <= count; n += 8)
        depthwise_tile<K, 8>(image + n * step * wide + c, pitch, wide, step, dilation, taps + c, out + n * wide + c);
      for (; n < count; n++)
        depthwise_tile<K, 1>(image + n * step * wide + c, pitch, wide, step, dilation, taps + c, out + n * wide + c);
    }
  }

  static void depthwise(int64_t kernel, const T* image, int64_t pitch, int64_t wide, int64_t step, int64_t dilation,
                        const T* taps, T* out, int64_t count) {
    // The image has PAD pixels around it, the kernel reaches less far.
    const T* first = image + (PAD - dilation * (kernel - 1) / 2) * (pitch + wide);
    if (kernel == 3) depthwise_row<3>(first, pitch, wide, step, dilation, taps, out, count);
    else depthwise_row<5>(first, pitch, wide, step, dilation, taps, out, count);
  }

  // out [count, wide] = in [count, wide] * matrix [wide, wide]
  template <int N, int M>
  static void pointwise_tile(const T* in, int64_t wide, int64_t channels, const T* matrix, T* out) {
    V sum[N][M] = {};
    for (int64_t k = 0; k < channels; k++) {
      V row[M];
#pragma GCC unroll 2
      for (int m = 0; m < M; m++) row[m] = get(matrix + k * wide + m * LANES);
#pragma GCC unroll 8
      for (int n = 0; n < N; n++)
#pragma GCC unroll 2
        for (int m = 0; m < M; m++) sum[n][m] += in[n * wide + k] * row[m];
    }
#pragma GCC unroll 8
    for (int n = 0; n < N; n++)
#pragma GCC unroll 2
      for (int m = 0; m < M; m++) put(out + n * wide + m * LANES, sum[n][m]);
  }

  static void pointwise(const T* in, int64_t wide, int64_t channels, const T* matrix, T* out, int64_t count) {
    int64_t n = 0, c;
    for (; n + 8 <= count; n += 8) {
      for (c = 0; c + 2 * LANES <= wide; c += 2 * LANES)
        pointwise_tile<8, 2>(in + n * wide, wide, channels, matrix + c, out + n * wide + c);
      if (c < wide) pointwise_tile<8, 1>(in + n * wide, wide, channels, matrix + c, out + n * wide + c);
    }
    for (; n < count; n++)
      for (c = 0; c < wide; c += LANES)
        pointwise_tile<1, 1>(in + n * wide, wide, channels, matrix + c, out + n * wide + c);
  }

  // grad_matrix [out C, in C] += out_grad^T * in, both [count, wide]
  template <int N, int M>
  static void pointwise_gradient_tile(const T* grad, const T* in, int64_t wide, int64_t count, T* sums) {
    V sum[N][M] = {};
    for (int64_t p = 0; p < count; p++) {
      V row[M];
#pragma GCC unroll 2
      for (int m = 0; m < M; m++) row[m] = get(in + p * wide + m * LANES);
#pragma GCC unroll 8
      for (int n = 0; n < N; n++)
#pragma GCC unroll 2
        for (int m = 0; m < M; m++) sum[n][m] += grad[p * wide + n] * row[m];
    }
    for (int n = 0; n < N; n++)
      for (int m = 0; m < M; m++) put(sums + n * wide + m * LANES, get(sums + n * wide + m * LANES) + sum[n][m]);
  }

  static void pointwise_gradient(const T* grad, const T* in, int64_t wide, int64_t count, T* sums) {
    static_assert(LANES % 4 == 0, "four output channels at a time");
    for (int64_t n = 0; n < wide; n += 4) {
      int64_t c = 0;
      for (; c + 2 * LANES <= wide; c += 2 * LANES)
        pointwise_gradient_tile<4, 2>(grad + n, in + c, wide, count, sums + n * wide + c);
      if (c < wide) pointwise_gradient_tile<4, 1>(grad + n, in + c, wide, count, sums + n * wide + c);
    }
  }

  // sums [K, K, wide] += sum over outputs of grad * the pixel under each tap
  template <int K>
  static void depthwise_gradient(const T* image, int64_t pitch, int64_t wide, int64_t step, int64_t dilation,
                                 const T* grad, int64_t grad_pitch, int64_t rows, int64_t count, T* sums) {
    const T* first = image + (PAD - dilation * (K - 1) / 2) * (pitch + wide);
    for (int64_t c = 0; c < wide; c += LANES)
      for (int i = 0; i < K; i++) {
        V even[K] = {}, odd[K] = {};
        for (int64_t y = 0; y < rows; y++) {
          const T* from = first + (y * step + i * dilation) * pitch + c;
          const T* g = grad + y * grad_pitch + c;
          int64_t n = 0;
          for (; n + 2 <= count; n += 2) {
            const V one = get(g + n * wide), two = get(g + (n + 1) * wide);
#pragma GCC unroll 5
            for (int j = 0; j < K; j++) {
              even[j] += one * get(from + (n * step + j * dilation) * wide);
              odd[j] += two * get(from + ((n + 1) * step + j * dilation) * wide);
            }
          }
          if (n < count) {
            const V one = get(g + n * wide);
#pragma GCC unroll 5
            for (int j = 0; j < K; j++) even[j] += one * get(from + (n * step + j * dilation) * wide);
          }
        }
        for (int j = 0; j < K; j++) {
          T* to = sums + (i * K + j) * wide + c;
          put(to, get(to) + even[j] + odd[j]);
        }
      }
  }

  // The transpose of a strided depthwise convolution: image += taps * grad
  template <int K>
  static void depthwise_scatter(const T* grad, int64_t rows, int64_t count, int64_t step, int64_t dilation,
                                const T* taps, T* image, int64_t pitch, int64_t wide) {
    T* first = image + (PAD - dilation * (K - 1) / 2) * (pitch + wide);
    for (int64_t y = 0; y < rows; y++)
      for (int64_t n = 0; n < count; n++)
        for (int64_t c = 0; c < wide; c += LANES) {
          const V g = get(grad + (y * count + n) * wide + c);
#pragma GCC unroll 5
          for (int i = 0; i < K; i++)
#pragma GCC unroll 5
            for (int j = 0; j < K; j++) {
              T* to = first + (y * step + i * dilation) * pitch + (n * step + j * dilation) * wide + c;
              put(to, get(to) + g * get(taps + (i * K + j) * wide + c));
            }
        }
  }


  // Per job: taps [K, K, wide] and flipped, the matrix [in, out] and [out, in], coefficients [5, wide].
  static int64_t packed_size(int64_t wide) { return 50 * wide + 2 * wide * wide + 5 * wide; }

  static void pack(const Job& job, int64_t channels, T* to) {
    const int64_t wide = padded(channels), taps = job.kernel * job.kernel;
    const T* depthwise = static_cast<const T*>(job.depthwise);
    const T* pointwise = static_cast<const T*>(job.pointwise);
    T *flipped = to + 25 * wide, *matrix = flipped + 25 * wide, *transposed = matrix + wide * wide;
    T* rows = transposed + wide * wide;
    for (int64_t c = 0; c < channels; c++) {
      for (int64_t t = 0; t < taps; t++)
        to[t * wide + c] = flipped[(taps - 1 - t) * wide + c] = depthwise[c * taps + t];
      for (int64_t k = 0; k < channels; k++)
        transposed[c * wide + k] = matrix[k * wide + c] = pointwise[c * channels + k];
    }
    for (int k = 0; k < 2 && job.prologue; k++) widen(job.prologue + k * channels, channels, rows + k * wide);
    for (int k = 0; k < 3 && job.epilogue; k++) widen(job.epilogue + k * channels, channels, rows + (2 + k) * wide);
  }

  static std::vector<T> pack(const Job* jobs, int64_t n, int64_t channels, int threads) {
    const int64_t size = packed_size(padded(channels));
    std::vector<T> packed(n * size);
#pragma omp parallel for num_threads(threads)
    for (int64_t k = 0; k < n; k++) pack(jobs[k], channels, packed.data() + k * size);
    return packed;
  }

  static bool same_input(const Job& one, const Job& other) {
    return one.x == other.x && one.prologue == other.prologue;
  }

  static void add_shares(const std::vector<double>& partial, const Job* jobs, int64_t n, int64_t channels,
                         int64_t parts) {
    for (int64_t k = 0; k < n; k++)
      if (jobs[k].sums)
        for (int64_t c = 0; c < 2 * channels; c++) {
          double sum = 0;
          for (int64_t part = 0; part < parts; part++) sum += partial[(part * n + k) * 2 * channels + c];
          jobs[k].sums[c] = sum;
        }
  }

  static void forward(const Job* jobs, int64_t n, const Shape& s, int threads) {
    const int64_t channels = s.channels, wide = padded(channels), parts = shares(s.batch);
    const int64_t rows = s.out_height(), count = s.out_width(), pitch = (s.width + 2 * PAD) * wide;
    const int64_t image_size = (s.height + 2 * PAD) * pitch, size = packed_size(wide);
    const std::vector<T> packed = pack(jobs, n, channels, threads);
    std::vector<double> partial(parts * n * 2 * channels);
#pragma omp parallel num_threads(threads)
    {
      T* image = scratch<T>(image_size + 2 * count * wide + 2 * wide);
      T *middle = image + image_size, *out = middle + count * wide, *row_sums = out + count * wide;
#pragma omp for schedule(dynamic, 1)
      for (int64_t part = 0; part < parts; part++)
        for (int64_t b = part * s.batch / parts; b < (part + 1) * s.batch / parts; b++)
          for (int64_t k = 0; k < n; k++) {
            const Job& job = jobs[k];
            const T *taps = packed.data() + k * size, *matrix = taps + 50 * wide;
            const T* scale = matrix + 2 * wide * wide;
            double* sums = partial.data() + (part * n + k) * 2 * channels;
            if (k == 0 || !same_input(job, jobs[k - 1]))
              load(static_cast<const T*>(job.x) + b * s.height * s.width * s.pixel, s.pixel, s.height, s.width,
                   channels, job.prologue ? scale : nullptr, scale + wide, true, image);
            T* y = static_cast<T*>(job.y) + b * rows * count * channels;
            for (int64_t i = 0; i < rows; i++) {
              depthwise(job.kernel, image + i * s.stride * pitch, pitch, wide, s.stride, job.dilation, taps, middle,
                        count);
              pointwise(middle, wide, channels, matrix, out, count);
              for (int64_t c = 0; c < channels; c += LANES) {
                V sum = {}, squares = {};
                for (int64_t j = 0; j < count; j++) {
                  const V v = get(out + j * wide + c);
                  T* at = y + (i * count + j) * channels + c;
                  sum += v, squares += v * v;
                  write_soon(at + AHEAD * count * channels);
                  put(at, v, channels - c);
                }
                put(row_sums + c, sum), put(row_sums + wide + c, squares);
              }
              flush(row_sums, channels, sums), flush(row_sums + wide, channels, sums + channels);
            }
          }
    }
    add_shares(partial, jobs, n, channels, parts);
  }

  static void backward(const Job* jobs, int64_t n, const Shape& s, int threads) {
    const int64_t channels = s.channels, wide = padded(channels);
    const int64_t rows = s.out_height(), count = s.out_width(), pitch = (s.width + 2 * PAD) * wide;
    const int64_t image_size = (s.height + 2 * PAD) * pitch, pixels = rows * count, size = packed_size(wide);
    const bool strided = s.stride > 1, learns = jobs[0].grad_pointwise;
    const int64_t weights = 25 * wide + wide * wide;
    const int64_t parts = shares(s.batch, learns ? n * weights * sizeof(T) : 0);
    const std::vector<T> packed = pack(jobs, n, channels, threads);
    std::vector<double> partial(parts * n * 2 * channels);
    std::vector<T> partial_weights(learns ? parts * n * weights : 0);
#pragma omp parallel num_threads(threads)
    {
      T* image = scratch<T>(2 * image_size + 3 * pixels * wide + s.width * wide + 2 * wide);
      T *other = image + image_size, *grad_y = other + image_size, *middle = grad_y + pixels * wide;
      T *dense = middle + pixels * wide, *line = dense + pixels * wide, *row_sums = line + s.width * wide;
      // The gradient between depthwise and pointwise: with a border for a convolution, without for a scatter.
      const int64_t inner_pitch = strided ? count * wide : pitch;
      T* inner = strided ? dense : other + PAD * (pitch + wide);
#pragma omp for schedule(dynamic, 1)
      for (int64_t part = 0; part < parts; part++)
        for (int64_t b = part * s.batch / parts; b < (part + 1) * s.batch / parts; b++)
          for (int64_t k = 0; k < n; k++) {
            const Job& job = jobs[k];
            const T *taps = packed.data() + k * size, *flipped = taps + 25 * wide, *matrix = flipped + 25 * wide;
            const T *transposed = matrix + wide * wide, *scale = transposed + wide * wide, *p = scale + 2 * wide;
            double* sums = partial.data() + (part * n + k) * 2 * channels;
            if (k == 0 || !same_input(job, jobs[k - 1]))
              load(static_cast<const T*>(job.x) + b * s.height * s.width * s.pixel, s.pixel, s.height, s.width,
                   channels, job.prologue ? scale : nullptr, scale + wide, true, image);
            const T* y = static_cast<const T*>(job.y) + b * pixels * channels;
            const T* grad = static_cast<const T*>(job.grad) + b * pixels * job.grad_pixel;
            for (int64_t i = 0; i < rows; i++) {
              for (int64_t j = i * count; j < (i + 1) * count; j++)
                for (int64_t c = 0; c < channels; c += LANES) {
                  const T *from = grad + j * job.grad_pixel + c, *made = y + j * channels + c;
                  read_soon(from + AHEAD * count * job.grad_pixel), read_soon(made + AHEAD * count * channels);
                  put(grad_y + j * wide + c, get(p + c) * get(from, channels - c) +
                                                 get(p + wide + c) * get(made, channels - c) + get(p + 2 * wide + c));
                }
              pointwise(grad_y + i * count * wide, wide, channels, transposed, inner + i * inner_pitch, count);
            }
            if (learns) {
              T* own = partial_weights.data() + (part * n + k) * weights;
              for (int64_t i = 0; i < rows; i++)
                depthwise(job.kernel, image + i * s.stride * pitch, pitch, wide, s.stride, job.dilation, taps,
                          middle + i * count * wide, count);
              pointwise_gradient(grad_y, middle, wide, pixels, own + 25 * wide);
              if (job.kernel == 3)
                depthwise_gradient<3>(image, pitch, wide, s.stride, job.dilation, inner, inner_pitch, rows, count, own);
              else
                depthwise_gradient<5>(image, pitch, wide, s.stride, job.dilation, inner, inner_pitch, rows, count, own);
            }
            if (strided) {
              std::memset(other, 0, image_size * sizeof(T));
              if (job.kernel == 3)
                depthwise_scatter<3>(dense, rows, count, s.stride, job.dilation, taps, other, pitch, wide);
              else
                depthwise_scatter<5>(dense, rows, count, s.stride, job.dilation, taps, other, pitch, wide);
            }
            T* to = static_cast<T*>(job.grad_x) + b * s.height * s.width * job.grad_x_pixel;
            const V zero = {};
            for (int64_t i = 0; i < s.height; i++) {
              const T* from = other + (i + PAD) * pitch + PAD * wide;
              if (!strided) {
                depthwise(job.kernel, other + i * pitch, pitch, wide, 1, job.dilation, flipped, line, s.width);
                from = line;
              }
              const T* active = image + (i + PAD) * pitch + PAD * wide;
              for (int64_t c = 0; c < channels; c += LANES) {
                V sum = {}, products = {};
                for (int64_t j = 0; j < s.width; j++) {
                  const V value = get(active + j * wide + c), g = get(from + j * wide + c);
                  V v = value > zero ? g : zero;
                  sum += v, products += v * value;
                  T* at = to + (i * s.width + j) * job.grad_x_pixel + c;
                  write_soon(at + AHEAD * s.width * job.grad_x_pixel);
                  if (job.accumulate) v += get(at, channels - c);
                  put(at, v, channels - c);
                }
                put(row_sums + c, sum), put(row_sums + wide + c, products);
              }
              if (job.sums) flush(row_sums, channels, sums), flush(row_sums + wide, channels, sums + channels);
            }
          }
    }
    add_shares(partial, jobs, n, channels, parts);
    if (!learns) return;
#pragma omp parallel for num_threads(threads)
    for (int64_t k = 0; k < n; k++) {
      const int64_t taps = jobs[k].kernel * jobs[k].kernel;
      T* grad_depthwise = static_cast<T*>(jobs[k].grad_depthwise);
      T* grad_pointwise = static_cast<T*>(jobs[k].grad_pointwise);
      for (int64_t part = 0; part < parts; part++) {
        const T* own = partial_weights.data() + (part * n + k) * weights;
        for (int64_t c = 0; c < channels; c++) {
          for (int64_t t = 0; t < taps; t++)
            grad_depthwise[c * taps + t] = (part ? grad_depthwise[c * taps + t] : 0) + own[t * wide + c];
          for (int64_t m = 0; m < channels; m++) {
            T& to = grad_pointwise[c * channels + m];
            to = (part ? to : 0) + own[(25 + c) * wide + m];
          }
        }
      }
    }
  }

  // Running statistics are those of unbiased variances.
  static void normalize(const Norm* norms, int64_t n, const Shape& s, double eps, double momentum) {
    const double pixels = s.batch * s.height * s.width, unbiased = pixels / (pixels - 1);
    const auto approach = [&](T& running, double value) { running += T(momentum) * (T(value) - running); };
    for (const Norm* norm = norms; norm < norms + n; norm++) {
      T *running_mean = static_cast<T*>(norm->mean), *running_variance = static_cast<T*>(norm->variance);
      for (int64_t c = 0; c < s.channels; c++) {
        const double mean = norm->sums[c] / pixels;
        const double variance = std::max(norm->sums[s.channels + c] / pixels - mean * mean, 0.0);
        const double scale = 1 / std::sqrt(variance + eps);
        norm->coefficients[c] = scale, norm->coefficients[s.channels + c] = -mean * scale;
        if (running_mean) approach(running_mean[c], mean), approach(running_variance[c], variance * unbiased);
      }
      if (running_mean) ++*norm->batches;
    }
  }

  // Poolings 3x3 with padding 1 of x [B, H, W, pixel]: maximum and mean, with sums [2, 2, C].
  static void pool(const T* x, const Shape& s, T* maximum, T* mean, double* sums, int threads) {
    const int64_t channels = s.channels, wide = padded(channels), parts = shares(s.batch);
    const int64_t rows = s.out_height(), count = s.out_width();
    std::vector<double> partial(parts * 4 * channels);
#pragma omp parallel num_threads(threads)
    {
      T* row_sums = scratch<T>(4 * wide);
#pragma omp for schedule(dynamic, 1)
      for (int64_t part = 0; part < parts; part++)
        for (int64_t b = part * s.batch / parts; b < (part + 1) * s.batch / parts; b++)
          for (int64_t i = 0; i < rows; i++) {
            for (int64_t c = 0; c < channels; c += LANES) {
              V all[4] = {};
              for (int64_t j = 0; j < count; j++) {
                const Window w(s, i, j);
                const T* from = x + b * s.height * s.width * s.pixel + c;
                V largest = get(from + (w.top * s.width + w.left) * s.pixel, channels - c), sum = {};
                for (int64_t u = w.top; u < w.bottom; u++)
                  for (int64_t v = w.left; v < w.right; v++) {
                    const V value = get(from + (u * s.width + v) * s.pixel, channels - c);
                    largest = value > largest ? value : largest;
                    sum += value;
                  }
                sum /= T(w.pixels());
                const int64_t at = ((b * rows + i) * count + j) * channels + c;
                put(maximum + at, largest, channels - c), put(mean + at, sum, channels - c);
                all[0] += largest, all[1] += largest * largest, all[2] += sum, all[3] += sum * sum;
              }
              for (int k = 0; k < 4; k++) put(row_sums + k * wide + c, all[k]);
            }
            for (int k = 0; k < 4; k++)
              flush(row_sums + k * wide, channels, partial.data() + (part * 4 + k) * channels);
          }
    }
    for (int64_t c = 0; c < 4 * channels; c++) {
      sums[c] = 0;
      for (int64_t part = 0; part < parts; part++) sums[c] += partial[part * 4 * channels + c];
    }
  }

  // grad_x [B, H, W, grad_pixel] += the gradients of both poolings; of equal maxima the first counts.
  static void pool_backward(const T* x, const Shape& s, const T* maximum, const T* grad_maximum, const T* grad_mean,
                            T* grad_x, int64_t grad_pixel, int threads) {
    const int64_t channels = s.channels, rows = s.out_height(), count = s.out_width();
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int64_t b = 0; b < s.batch; b++)
      for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < count; j++) {
          const Window w(s, i, j);
          for (int64_t c = 0; c < channels; c += LANES) {
            const int64_t at = ((b * rows + i) * count + j) * channels + c;
            const V largest = get(maximum + at, channels - c), zero = {};
            const V share = get(grad_mean + at, channels - c) / T(w.pixels());
            V open = get(grad_maximum + at, channels - c);
            for (int64_t u = w.top; u < w.bottom; u++)
              for (int64_t v = w.left; v < w.right; v++) {
                const int64_t p = (b * s.height + u) * s.width + v;
                const auto here = get(x + p * s.pixel + c, channels - c) == largest;
                T* to = grad_x + p * grad_pixel + c;
                put(to, get(to, channels - c) + share + (here ? open : zero), channels - c);
                open = here ? zero : open;
              }
          }
        }
  }

  struct Window {  // the pixels under a pooling's kernel
    int64_t top, bottom, left, right;
    Window(const Shape& s, int64_t i, int64_t j)
        : top(std::max<int64_t>(i * s.stride - 1, 0)), bottom(std::min(i * s.stride + 2, s.height)),
          left(std::max<int64_t>(j * s.stride - 1, 0)), right(std::min(j * s.stride + 2, s.width)) {}
    int64_t pixels() const { return (bottom - top) * (right - left); }
  };

  // The map of every run of terms with the same one becomes their sum. Many maps at a time read what they share once.
  static void combine(const Term* terms, int64_t n, const Shape& s, int threads) {
    const int64_t channels = s.channels, wide = padded(channels);
    std::vector<T> scale(n * wide, T(1)), shift(n * wide);  // a map's shift is that of its first term
    for (int64_t k = 0, first = 0; k < n; k++) {
      if (terms[k].map != terms[first].map) first = k;
      for (int64_t c = 0; c < channels; c++) {
        if (terms[k].scale) scale[k * wide + c] = T(terms[k].scale[c]);
        if (terms[k].shift) shift[first * wide + c] += T(terms[k].shift[c]);
      }
    }
#pragma omp parallel num_threads(threads)
    {
      T* row = scratch<T>(s.width * wide);
#pragma omp for schedule(dynamic, 8)
      for (int64_t i = 0; i < s.batch * s.height; i++)
        for (int64_t first = 0, end = 0; first < n; first = end) {
          const Term& to = terms[first];
          while (end < n && terms[end].map == to.map) end++;
          for (int64_t c = 0; c < channels; c += LANES) {
            for (int64_t j = 0; j < s.width; j++) put(row + j * wide + c, get(shift.data() + first * wide + c));
            for (int64_t k = first; k < end; k++) {
              const T* from = static_cast<const T*>(terms[k].x) + i * s.width * terms[k].pixel + c;
              const V factor = get(scale.data() + k * wide + c);
              for (int64_t j = 0; j < s.width; j++, from += terms[k].pixel) {
                read_soon(from + AHEAD * s.width * terms[k].pixel);
                put(row + j * wide + c, get(row + j * wide + c) + factor * get(from, channels - c));
              }
            }
            T* out = static_cast<T*>(to.map) + i * s.width * to.map_pixel + c;
            for (int64_t j = 0; j < s.width; j++, out += to.map_pixel) put(out, get(row + j * wide + c), channels - c);
          }
        }
    }
  }

  // sums [n, C] = sum over pixels of map * (scale * x + shift), for every term
  static void dots(const Term* terms, int64_t n, const Shape& s, double* sums, int threads) {
    const int64_t channels = s.channels, wide = padded(channels), parts = shares(s.batch);
    std::vector<T> scale(n * wide, T(1)), shift(n * wide);
    for (int64_t k = 0; k < n; k++) {
      if (terms[k].scale) widen(terms[k].scale, channels, scale.data() + k * wide);
      if (terms[k].shift) widen(terms[k].shift, channels, shift.data() + k * wide);
    }
    std::vector<double> partial(parts * n * channels);
#pragma omp parallel num_threads(threads)
    {
      T* row_sums = scratch<T>(wide);
#pragma omp for schedule(dynamic, 1)
      for (int64_t part = 0; part < parts; part++)
        for (int64_t i = part * s.batch / parts * s.height; i < (part + 1) * s.batch / parts * s.height; i++)
          for (int64_t k = 0; k < n; k++) {
            const Term& term = terms[k];
            for (int64_t c = 0; c < channels; c += LANES) {
              const T* map = static_cast<const T*>(term.map) + i * s.width * term.map_pixel + c;
              const T* from = static_cast<const T*>(term.x) + i * s.width * term.pixel + c;
              const V factor = get(scale.data() + k * wide + c), offset = get(shift.data() + k * wide + c);
              V sum = {};
              for (int64_t j = 0; j < s.width; j++, from += term.pixel, map += term.map_pixel) {
                V value = offset;
                if (term.x) {
                  read_soon(from + AHEAD * s.width * term.pixel);
                  value += factor * get(from, channels - c);
                }
                sum += get(map, channels - c) * value;
              }
              put(row_sums + c, sum);
            }
            flush(row_sums, channels, partial.data() + (part * n + k) * channels);
          }
    }
    for (int64_t c = 0; c < n * channels; c++) {
      sums[c] = 0;
      for (int64_t part = 0; part < parts; part++) sums[c] += partial[part * n * channels + c];
    }
  }
};

template <typename Body>
void dispatch(int64_t doubles, int64_t channels, Body body) {  // vectors that few channels fill
  if (doubles) channels <= 4 ? body(Loops<double, 32>(), double()) : body(Loops<double, 64>(), double());
  else if (channels <= 4 || channels == 12) body(Loops<float, 16>(), float());
  else channels <= 8 ? body(Loops<float, 32>(), float()) : body(Loops<float, 64>(), float());
}

}  // namespace

extern "C" {

void forward(int64_t doubles, const Shape* s, const Job* jobs, int64_t n, int threads) {
  dispatch(doubles, s->channels, [&](auto loops, auto) { loops.forward(jobs, n, *s, threads); });
}

void backward(int64_t doubles, const Shape* s, const Job* jobs, int64_t n, int threads) {
  dispatch(doubles, s->channels, [&](auto loops, auto) { loops.backward(jobs, n, *s, threads); });
}

void combine(int64_t doubles, const Shape* s, const Term* terms, int64_t n, int threads) {
  dispatch(doubles, s->channels, [&](auto loops, auto) { loops.combine(terms, n, *s, threads); });
}

void dots(int64_t doubles, const Shape* s, const Term* terms, int64_t n, double* sums, int threads) {
  dispatch(doubles, s->channels, [&](auto loops, auto) { loops.dots(terms, n, *s, sums, threads); });
}

void normalize(int64_t doubles, const Shape* s, const Norm* norms, int64_t n, double eps, double momentum, int) {
  dispatch(doubles, s->channels, [&](auto loops, auto) { loops.normalize(norms, n, *s, eps, momentum); });
}

void pool(int64_t doubles, const Shape* s, const void* x, void* maximum, void* mean, double* sums, int threads) {
  dispatch(doubles, s->channels, [&](auto loops, auto t) {
    using T = decltype(t);
    loops.pool(static_cast<const T*>(x), *s, static_cast<T*>(maximum), static_cast<T*>(mean), sums, threads);
  });
}

void pool_backward(int64_t doubles, const Shape* s, const void* x, const void* maximum, const void* grad_maximum,
                   const void* grad_mean, void* grad_x, int64_t grad_pixel, int threads) {
  dispatch(doubles, s->channels, [&](auto loops, auto t) {
    using T = decltype(t);
    loops.pool_backward(static_cast<const T*>(x), *s, static_cast<const T*>(maximum),
                        static_cast<const T*>(grad_maximum), static_cast<const T*>(grad_mean),
                        static_cast<T*>(grad_x), grad_pixel, threads);
  });
}

}  // extern "C"
