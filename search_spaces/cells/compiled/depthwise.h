// Depthwise convolutions of rows of an image with a border, [H + 2 PAD, W + 2 PAD, padded C], and their gradients.
//
// A core reads fewer vectors from its cache than it multiplies. So outputs are made in tiles, and a pixel is read once
// for all of a tile's outputs that need it.

#pragma once

#include "vectors.h"

namespace {

constexpr int64_t PAD = 4;  // pixels around an image; the widest kernel, 5 with dilation 2, reaches so far

template <typename T, int BYTES>
struct Depthwise : Vectors<T, BYTES> {
  using Base = Vectors<T, BYTES>;
  using Base::LANES, Base::get, Base::put;
  using typename Base::V;

  struct Image {
    T* at;
    int64_t pitch, wide;  // elements from a row to the next, from a pixel to the next
    Image row(int64_t i) const { return {at + i * pitch, pitch, wide}; }
    T* inside(int64_t i) const { return at + (i + PAD) * pitch + PAD * wide; }
    template <int K, int DILATION>
    T* first_tap() const {
      return at + (PAD - DILATION * (K - 1) / 2) * (pitch + wide);
    }
  };

  // Runs body<kernel, dilation>, whose loops the compiler unrolls.
  template <typename Body>
  INLINE static void sized(int64_t kernel, int64_t dilation, Body body) {
    using std::integral_constant;
    if (kernel == 3 && dilation == 1)
      body(integral_constant<int, 3>(), integral_constant<int, 1>());
    else if (kernel == 3)
      body(integral_constant<int, 3>(), integral_constant<int, 2>());
    else if (dilation == 1)
      body(integral_constant<int, 5>(), integral_constant<int, 1>());
    else
      body(integral_constant<int, 5>(), integral_constant<int, 2>());
  }

  // take(n, output) receives N outputs from the first tap of the first; taps [K, K, padded C].
  template <int K, int DILATION, int STEP, int N, typename Take>
  INLINE static void tile(const T* image, int64_t pitch, int64_t wide, const T* taps, Take take) {
    V sum[N] = {};
    for (int i = 0; i < K; i++) {
      const T* from = image + i * DILATION * pitch;
      V tap[K];
#pragma GCC unroll 5
      for (int j = 0; j < K; j++) tap[j] = get(taps + (i * K + j) * wide);
#pragma GCC unroll 24
      for (int p = 0; p <= STEP * (N - 1) + DILATION * (K - 1); p++, from += wide) {
        const V x = get(from);
#pragma GCC unroll 5
        for (int j = 0; j < K; j++) {
          const int n = p - j * DILATION;
          if (n >= 0 && n % STEP == 0 && n / STEP < N) sum[n / STEP] += tap[j] * x;
        }
      }
    }
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) take(n, sum[n]);
  }

  // A row of outputs. For the channels from c on, begin(c) makes what takes each of them.
  template <int STEP, typename Begin>
  static void convolve(int64_t kernel, int64_t dilation, Image image, const T* taps, int64_t count, Begin begin) {
    sized(kernel, dilation, [&](auto k, auto d) INLINE {
      const int K = decltype(k)::value, DILATION = decltype(d)::value;
      const T* first = image.template first_tap<K, DILATION>();
      for (int64_t c = 0; c < image.wide; c += LANES) {
        auto take = begin(c);
        tiles<8>(count, [&](int64_t n, auto size) INLINE {
          tile<K, DILATION, STEP, decltype(size)::value>(first + n * STEP * image.wide + c, image.pitch, image.wide,
                                                         taps + c, [&](int m, V v) INLINE { take(n + m, v); });
        });
      }
    });
  }

  // out [count, wide]
  static void convolve(int64_t kernel, int64_t dilation, int64_t step, Image image, const T* taps, int64_t count,
                       T* out) {
    const auto begin = [=](int64_t c)
                           INLINE { return [=](int64_t n, V v) INLINE { put(out + n * image.wide + c, v); }; };
    if (step == 1)
      convolve<1>(kernel, dilation, image, taps, count, begin);
    else
      convolve<2>(kernel, dilation, image, taps, count, begin);
  }

  // sums [2, K], of even outputs and of odd ones, += grad * the pixels under a row of taps.
  template <int K, int DILATION, int STEP, int N>
  INLINE static void gradient_tile(const T* image, int64_t wide, const T* grad, V (*sums)[K]) {
    V g[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) g[n] = get(grad + n * wide);
#pragma GCC unroll 24
    for (int p = 0; p <= STEP * (N - 1) + DILATION * (K - 1); p++) {
      const V x = get(image + p * wide);
#pragma GCC unroll 5
      for (int j = 0; j < K; j++) {
        const int n = p - j * DILATION;
        if (n >= 0 && n % STEP == 0 && n / STEP < N) sums[n / STEP % 2][j] += g[n / STEP] * x;
      }
    }
  }

  // taps [K, K, wide] += sum over rows of outputs of their gradients times the pixels under each tap.
  template <int STEP>
  static void gradient(int64_t kernel, int64_t dilation, Image image, const T* grad, int64_t grad_pitch, int64_t rows,
                       int64_t count, T* taps) {
    sized(kernel, dilation, [&](auto k, auto d) INLINE {
      const int K = decltype(k)::value, DILATION = decltype(d)::value;
      const T* first = image.template first_tap<K, DILATION>();
      for (int64_t c = 0; c < image.wide; c += LANES)
        for (int i = 0; i < K; i++) {
          V sums[2][K] = {};
          for (int64_t y = 0; y < rows; y++)
            tiles<PAIRS>(count, [&](int64_t n, auto size) INLINE {
              const T* from = first + (y * STEP + i * DILATION) * image.pitch + n * STEP * image.wide + c;
              gradient_tile<K, DILATION, STEP, decltype(size)::value>(from, image.wide,
                                                                      grad + y * grad_pitch + n * image.wide + c, sums);
            });
#pragma GCC unroll 5
          for (int j = 0; j < K; j++) {
            T* to = taps + (i * K + j) * image.wide + c;
            put(to, get(to) + (sums[0][j] + sums[1][j]));
          }
        }
    });
  }

  static void gradient(int64_t kernel, int64_t dilation, int64_t step, Image image, const T* grad, int64_t grad_pitch,
                       int64_t rows, int64_t count, T* taps) {
    if (step == 1)
      gradient<1>(kernel, dilation, image, grad, grad_pitch, rows, count, taps);
    else
      gradient<2>(kernel, dilation, image, grad, grad_pitch, rows, count, taps);
  }

  // The transpose of a strided convolution: image += taps * grad [rows, count, wide].
  static void scatter(int64_t kernel, int64_t dilation, int64_t step, const T* grad, int64_t rows, int64_t count,
                      const T* taps, Image image) {
    sized(kernel, dilation, [&](auto k, auto d) INLINE {
      const int K = decltype(k)::value, DILATION = decltype(d)::value;
      T* first = image.template first_tap<K, DILATION>();
      for (int64_t y = 0; y < rows; y++)
        for (int64_t n = 0; n < count; n++)
          for (int64_t c = 0; c < image.wide; c += LANES) {
            const V g = get(grad + (y * count + n) * image.wide + c);
#pragma GCC unroll 5
            for (int i = 0; i < K; i++)
#pragma GCC unroll 5
              for (int j = 0; j < K; j++) {
                T* to = first + (y * step + i * DILATION) * image.pitch + (n * step + j * DILATION) * image.wide + c;
                put(to, get(to) + g * get(taps + (i * K + j) * image.wide + c));
              }
          }
    });
  }
};

}  // namespace
