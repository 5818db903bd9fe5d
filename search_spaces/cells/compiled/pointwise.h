// Pointwise convolutions of pixels [count, padded C], which are products with a matrix, and their gradients.

#pragma once

#include "vectors.h"

namespace {

template <typename T, int BYTES>
struct Pointwise : Vectors<T, BYTES> {
  using Base = Vectors<T, BYTES>;
  using typename Base::V;
  using Base::LANES, Base::get, Base::put, Base::write_soon;

  // take(n, m, output) receives the M vectors of each of N pixels of in * matrix.
  template <int N, int M, typename Take>
  INLINE static void tile(const T* in, int64_t wide, int64_t channels, const T* matrix, Take take) {
    V sum[N][M] = {};
    for (int64_t k = 0; k < channels; k++) {
      V row[M];
#pragma GCC unroll 2
      for (int m = 0; m < M; m++) row[m] = get(matrix + k * wide + m * LANES);
#pragma GCC unroll 16
      for (int n = 0; n < N; n++)
#pragma GCC unroll 2
        for (int m = 0; m < M; m++) sum[n][m] += in[n * wide + k] * row[m];
    }
#pragma GCC unroll 16
    for (int n = 0; n < N; n++)
#pragma GCC unroll 2
      for (int m = 0; m < M; m++) take(n, m, sum[n][m]);
  }

  // The output channels [c, c + M * LANES) of `multiply` or `multiply_for_norm`.
  template <int M, bool IS_FOR_NORM>
  INLINE static void columns(const T* in, int64_t wide, int64_t channels, const T* matrix, int64_t c, T* out,
                             int64_t ahead, int64_t count, T* sums) {
    V sum[M] = {}, squares[M] = {};
    const int64_t pixel = IS_FOR_NORM ? channels : wide;
    tiles<M == 1 ? 16 : 8>(count, [&](int64_t first, auto size) INLINE {
      const auto take = [&](int n, int m, V v) INLINE {
        T* at = out + (first + n) * pixel + c + m * LANES;
        if (!IS_FOR_NORM) return put(at, v);
        sum[m] += v, squares[m] += v * v;
        write_soon(at + ahead);
        put(at, v, channels - c - m * LANES);
      };
      tile<decltype(size)::value, M>(in + first * wide, wide, channels, matrix + c, take);
    });
    for (int m = 0; m < M && IS_FOR_NORM; m++)
      put(sums + c + m * LANES, sum[m]), put(sums + wide + c + m * LANES, squares[m]);
  }

  template <bool IS_FOR_NORM>
  static void all_columns(const T* in, int64_t wide, int64_t channels, const T* matrix, T* out, int64_t ahead,
                          int64_t count, T* sums) {
    if (channels == LANES)  // the addresses of so few channels are known to the compiler
      return columns<1, IS_FOR_NORM>(in, LANES, LANES, matrix, 0, out, ahead, count, sums);
    int64_t c = 0;
    for (; c + 2 * LANES <= wide; c += 2 * LANES)
      columns<2, IS_FOR_NORM>(in, wide, channels, matrix, c, out, ahead, count, sums);
    if (c < wide) columns<1, IS_FOR_NORM>(in, wide, channels, matrix, c, out, ahead, count, sums);
  }

  // out [count, wide] = in * matrix [wide, wide]
  static void multiply(const T* in, int64_t wide, int64_t channels, const T* matrix, T* out, int64_t count) {
    all_columns<false>(in, wide, channels, matrix, out, 0, count, nullptr);
  }

  // out [count, channels] = in * matrix, and sums [2, wide] of it and of its square. Memory `ahead` is written soon.
  static void multiply_for_norm(const T* in, int64_t wide, int64_t channels, const T* matrix, T* out, int64_t ahead,
                                int64_t count, T* sums) {
    all_columns<true>(in, wide, channels, matrix, out, ahead, count, sums);
  }

  template <int N, int M>
  INLINE static void gradient_tile(const T* grad, const T* in, int64_t wide, int64_t count, T* matrix) {
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
#pragma GCC unroll 8
    for (int n = 0; n < N; n++)
#pragma GCC unroll 2
      for (int m = 0; m < M; m++) {
        T* to = matrix + n * wide + m * LANES;
        put(to, get(to) + sum[n][m]);
      }
  }

  template <int N>
  static void gradient_rows(const T* grad, const T* in, int64_t wide, int64_t count, T* matrix) {
    int64_t c = 0;
    for (; c + 2 * LANES <= wide; c += 2 * LANES) gradient_tile<N, 2>(grad, in + c, wide, count, matrix + c);
    if (c < wide) gradient_tile<N, 1>(grad, in + c, wide, count, matrix + c);
  }

  // matrix [out C, in C] += grad^T * in, both [count, wide]
  static void gradient(const T* grad, const T* in, int64_t wide, int64_t count, T* matrix) {
    static_assert(LANES % 4 == 0, "four output channels at a time");
    int64_t n = 0;
    for (; n + 8 <= wide; n += 8) gradient_rows<8>(grad + n, in, wide, count, matrix + n * wide);
    if (n < wide) gradient_rows<4>(grad + n, in, wide, count, matrix + n * wide);
  }
};

}  // namespace
