// ReLU and a pointwise convolution that changes the number of channels, forward and backward.

#pragma once

#include "pointwise.h"

struct Product {            // y = relu(x) * weights^T, pixel by pixel
  const void *x, *weights;  // [pixels, x_pixel], [out, in]
  void* y;                  // [pixels, out]
  int64_t pixels, in, out, x_pixel;
  double* sums;  // forward: of y and of its square, [2, out]
  // Backward only. The gradient of y is p * grad + q * y + r.
  const void* grad;  // [pixels, grad_pixel]
  int64_t grad_pixel;
  const double* epilogue;       // p, q, r: [3, out]
  void *grad_x, *grad_weights;  // [pixels, in], [out, in]; null: not wanted
};

namespace {

template <typename T, int BYTES>
struct Products : Pointwise<T, BYTES> {
  using Lanes = Vectors<T, BYTES>;
  using P = Pointwise<T, BYTES>;
  using Sizes = typename P::Sizes;
  static constexpr int64_t BLOCK = 32;  // pixels that stay in the cache

  static Sizes sizes(const Product& job) { return {job.in, Lanes::padded(job.in), job.out, Lanes::padded(job.out)}; }

  // body(part, first pixel, number of pixels, memory) for every block of a part of the pixels.
  template <typename Body>
  static void blocks(const Product& job, int64_t parts, int64_t elements, int threads, Body body) {
    const int64_t count = (job.pixels + BLOCK - 1) / BLOCK;
#pragma omp parallel num_threads(threads)
    {
      T* memory = scratch<T>(elements);
#pragma omp for schedule(dynamic, 1)
      for (int64_t part = 0; part < parts; part++)
        for (int64_t block = part * count / parts; block < (part + 1) * count / parts; block++)
          body(part, block * BLOCK, std::min(BLOCK, job.pixels - block * BLOCK), memory);
    }
  }

  static int64_t parts(const Product& job) { return count_parts((job.pixels + BLOCK - 1) / BLOCK); }

  static void forward(const Product& job, int threads) {
    const Sizes s = sizes(job);
    const T *x = static_cast<const T*>(job.x), *weights = static_cast<const T*>(job.weights);
    T* y = static_cast<T*>(job.y);
    std::vector<T> matrix(s.in * s.out_wide), one(s.in_wide, T(1)), none(s.in_wide);
    for (int64_t o = 0; o < s.out; o++)
      for (int64_t i = 0; i < s.in; i++) matrix[i * s.out_wide + o] = weights[o * s.in + i];
    std::vector<double> partial(parts(job) * 2 * s.out);
    blocks(job, parts(job), BLOCK * s.in_wide + 2 * s.out_wide, threads,
           [&](int64_t part, int64_t first, int64_t count, T* active) {
             T* sums = active + BLOCK * s.in_wide;
             double* own = partial.data() + part * 2 * s.out;
             P::activate(x + first * job.x_pixel, job.x_pixel, one.data(), none.data(), s.in, count, active);
             P::multiply_for_norm(active, s, matrix.data(), y + first * s.out, BLOCK * s.out, count, sums);
             Lanes::flush(sums, s.out, own), Lanes::flush(sums + s.out_wide, s.out, own + s.out);
           });
    add_parts(partial.data(), parts(job), 2 * s.out, 2 * s.out, job.sums);
  }

  static void backward(const Product& job, int threads) {
    const Sizes s = sizes(job), back{s.out, s.out_wide, s.in, s.in_wide};
    const T *x = static_cast<const T*>(job.x), *y = static_cast<const T*>(job.y);
    const T *grad = static_cast<const T*>(job.grad), *weights = static_cast<const T*>(job.weights);
    T *grad_x = static_cast<T*>(job.grad_x), *grad_weights = static_cast<T*>(job.grad_weights);
    std::vector<T> matrix(s.out * s.in_wide), one(s.in_wide, T(1)), none(s.in_wide), coefficients(3 * s.out_wide);
    for (int64_t o = 0; o < s.out; o++) std::copy_n(weights + o * s.in, s.in, matrix.data() + o * s.in_wide);
    for (int k = 0; k < 3; k++) Lanes::widen(job.epilogue + k * s.out, s.out, coefficients.data() + k * s.out_wide);
    const int64_t size = s.out_wide * s.in_wide;
    std::vector<T> partial(grad_weights ? parts(job) * size : 0);
    blocks(job, parts(job), BLOCK * (2 * s.in_wide + s.out_wide), threads,
           [&](int64_t part, int64_t first, int64_t count, T* active) {
             T *grad_y = active + BLOCK * s.in_wide, *dense = grad_y + BLOCK * s.out_wide;
             P::activate(x + first * job.x_pixel, job.x_pixel, one.data(), none.data(), s.in, count, active);
             P::through_norm(grad + first * job.grad_pixel, job.grad_pixel, y + first * s.out, coefficients.data(),
                             s.out, count, grad_y);
             if (grad_weights) P::gradient(grad_y, active, s, count, partial.data() + part * size);
             if (!grad_x) return;
             P::multiply(grad_y, back, matrix.data(), dense, count);
             P::through_relu(dense, active, s.in, count, false, grad_x + first * s.in, s.in);
           });
    if (!grad_weights) return;
    for (int64_t o = 0; o < s.out; o++)
      add_parts(partial.data() + o * s.in_wide, parts(job), size, s.in, grad_weights + o * s.in);
  }
};

}  // namespace
