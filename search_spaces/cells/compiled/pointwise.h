// Pointwise convolutions of pixels [count, padded C], which are products with a matrix, and their gradients.

#pragma once

#include "vectors.h"

namespace {

template <typename T, int BYTES>
struct Pointwise : Vectors<T, BYTES> {
  using Base = Vectors<T, BYTES>;
  using Base::LANES, Base::get, Base::put, Base::write_soon, Base::stream;
  using typename Base::V;

  struct Sizes {
    int64_t in, in_wide, out, out_wide;  // channels, and those padded to whole vectors
  };

  // take(n, m, output) receives the M vectors of each of N pixels of in * matrix.
  template <int N, int M, typename Take>
  INLINE static void tile(const T* in, const Sizes& sizes, const T* matrix, Take take) {
    V sum[N][M] = {};
    for (int64_t k = 0; k < sizes.in; k++) {
      V row[M];
#pragma GCC unroll 2
      for (int m = 0; m < M; m++) row[m] = get(matrix + k * sizes.out_wide + m * LANES);
#pragma GCC unroll 16
      for (int n = 0; n < N; n++)
#pragma GCC unroll 2
        for (int m = 0; m < M; m++) sum[n][m] += in[n * sizes.in_wide + k] * row[m];
    }
#pragma GCC unroll 16
    for (int n = 0; n < N; n++)
#pragma GCC unroll 2
      for (int m = 0; m < M; m++) take(n, m, sum[n][m]);
  }

  // The output channels [c, c + M * LANES) of `multiply` or `multiply_for_norm`.
  template <int M, bool IS_FOR_NORM>
  INLINE static void columns(const T* in, const Sizes& sizes, const T* matrix, int64_t c, T* out, int64_t ahead,
                             int64_t count, T* sums) {
    V sum[M] = {}, squares[M] = {};
    const int64_t channels = sizes.out, pixel = IS_FOR_NORM ? channels : sizes.out_wide;
    tiles<M == 1 ? 2 * PAIRS : PAIRS>(count, [&](int64_t first, auto size) INLINE {
      const auto take = [&](int n, int m, V v) INLINE {
        T* at = out + (first + n) * pixel + c + m * LANES;
        if (!IS_FOR_NORM) return put(at, v);
        sum[m] += v, squares[m] += v * v;
        if (!ahead) return stream(at, v);
        write_soon(at + ahead);
        put(at, v, channels - c - m * LANES);
      };
      tile<decltype(size)::value, M>(in + first * sizes.in_wide, sizes, matrix + c, take);
    });
    for (int m = 0; m < M && IS_FOR_NORM; m++)
      put(sums + c + m * LANES, sum[m]), put(sums + sizes.out_wide + c + m * LANES, squares[m]);
  }

  template <bool IS_FOR_NORM>
  static void all_columns(const T* in, const Sizes& sizes, const T* matrix, T* out, int64_t ahead, int64_t count,
                          T* sums) {
    if (sizes.in == LANES && sizes.out == LANES)  // the addresses of so few channels are known to the compiler
      return columns<1, IS_FOR_NORM>(in, {LANES, LANES, LANES, LANES}, matrix, 0, out, ahead, count, sums);
    int64_t c = 0;
    for (; c + 2 * LANES <= sizes.out_wide; c += 2 * LANES)
      columns<2, IS_FOR_NORM>(in, sizes, matrix, c, out, ahead, count, sums);
    if (c < sizes.out_wide) columns<1, IS_FOR_NORM>(in, sizes, matrix, c, out, ahead, count, sums);
  }

  // out [count, out_wide] = in [count, in_wide] * matrix [in, out_wide]
  static void multiply(const T* in, const Sizes& sizes, const T* matrix, T* out, int64_t count) {
    all_columns<false>(in, sizes, matrix, out, 0, count, nullptr);
  }

  // out [count, out] = in * matrix, and sums [2, out_wide] of it and of its square. Memory `ahead` is written
  // soon; 0: memory is written past the caches.
  static void multiply_for_norm(const T* in, const Sizes& sizes, const T* matrix, T* out, int64_t ahead, int64_t count,
                                T* sums) {
    all_columns<true>(in, sizes, matrix, out, ahead, count, sums);
  }

  template <int N, int M>
  INLINE static void gradient_tile(const T* grad, const T* in, const Sizes& sizes, int64_t count, T* matrix) {
    V sum[N][M] = {};
    for (int64_t p = 0; p < count; p++) {
      V row[M];
#pragma GCC unroll 2
      for (int m = 0; m < M; m++) row[m] = get(in + p * sizes.in_wide + m * LANES);
#pragma GCC unroll 8
      for (int n = 0; n < N; n++)
#pragma GCC unroll 2
        for (int m = 0; m < M; m++) sum[n][m] += grad[p * sizes.out_wide + n] * row[m];
    }
#pragma GCC unroll 8
    for (int n = 0; n < N; n++)
#pragma GCC unroll 2
      for (int m = 0; m < M; m++) {
        T* to = matrix + n * sizes.in_wide + m * LANES;
        put(to, get(to) + sum[n][m]);
      }
  }

  template <int N>
  static void gradient_rows(const T* grad, const T* in, const Sizes& sizes, int64_t count, T* matrix) {
    int64_t c = 0;
    for (; c + 2 * LANES <= sizes.in_wide; c += 2 * LANES) gradient_tile<N, 2>(grad, in + c, sizes, count, matrix + c);
    if (c < sizes.in_wide) gradient_tile<N, 1>(grad, in + c, sizes, count, matrix + c);
  }

  // matrix [out_wide, in_wide] += grad^T * in, [count, out_wide] and [count, in_wide]
  static void gradient(const T* grad, const T* in, const Sizes& sizes, int64_t count, T* matrix) {
    static_assert(LANES % 4 == 0, "four output channels at a time");
    tiles<PAIRS>(sizes.out_wide, [&](int64_t n, auto size) {
      gradient_rows<decltype(size)::value>(grad + n, in, sizes, count, matrix + n * sizes.in_wide);
    });
  }

  // relu(scale * x + shift) of x [count, pixel] -> [count, wide]
  static void activate(const T* x, int64_t pixel, const T* scale, const T* shift, int64_t channels, int64_t count,
                       T* out) {
    const int64_t wide = Base::padded(channels);
    const V zero = {};
    for (int64_t c = 0; c < channels; c += LANES) {
      const V factor = get(scale + c), offset = get(shift + c);
      for (int64_t j = 0; j < count; j++) {
        const T* from = x + j * pixel + c;
        Base::read_soon(from + AHEAD * count * pixel);
        const V v = factor * get(from, channels - c) + offset;
        put(out + j * wide + c, v < zero ? zero : v);  // what is not a number stays so
      }
    }
  }

  // Gradients of y [count, channels] from those behind BatchNorm, [count, pixel]: p * grad + q * y + r -> [count, wide]
  static void through_norm(const T* grad, int64_t pixel, const T* y, const T* coefficients, int64_t channels,
                           int64_t count, T* out) {
    const int64_t wide = Base::padded(channels);
    for (int64_t c = 0; c < channels; c += LANES) {
      const V p = get(coefficients + c), q = get(coefficients + wide + c), r = get(coefficients + 2 * wide + c);
      for (int64_t j = 0; j < count; j++)
        put(out + j * wide + c,
            p * get(grad + j * pixel + c, channels - c) + q * get(y + j * channels + c, channels - c) + r);
    }
  }

  // What relu passes on of the gradients of its output [count, wide], to [count, pixel].
  static void through_relu(const T* grad, const T* active, int64_t channels, int64_t count, bool accumulates, T* out,
                           int64_t pixel) {
    const int64_t wide = Base::padded(channels);
    const V zero = {};
    for (int64_t c = 0; c < channels; c += LANES)
      for (int64_t j = 0; j < count; j++) {
        T* to = out + j * pixel + c;
        V v = get(active + j * wide + c) <= zero ? zero : get(grad + j * wide + c);
        if (accumulates) v += get(to, channels - c);
        put(to, v, channels - c);
      }
  }
};

}  // namespace
