// Sums and scalar products of maps, poolings, and the coefficients of BatchNorm.

#pragma once

#include "vectors.h"

struct Term {                   // scale * x + shift
  const void* x;                // [B, H, W, pixel]; null for 0
  const double *scale, *shift;  // [C]; null for 1 and 0
  int64_t pixel;
  void* map;  // what it is added to, or multiplied by: [B, H, W, map_pixel]
  int64_t map_pixel;
};

struct Norm {             // BatchNorm of a map
  const double* sums;     // of it, of its square: [2, C]; null: the running statistics are used
  double* coefficients;   // receives scale and shift: [2, C]
  void *mean, *variance;  // running statistics [C], updated from the sums; null: there are none, or they stay
  int64_t* batches;
};

namespace {

template <typename T, int BYTES>
struct Maps : Vectors<T, BYTES> {
  using Base = Vectors<T, BYTES>;
  using Base::LANES, Base::padded, Base::get, Base::put, Base::read_soon, Base::widen, Base::flush;
  using typename Base::V;

  // Running statistics are those of unbiased variances.
  static void normalize(const Norm* norms, int64_t n, const Shape& s, double eps, double momentum) {
    const double pixels = s.batch * s.height * s.width, unbiased = pixels / (pixels - 1);
    const auto approach = [&](T& running, double value) { running += T(momentum) * (T(value) - running); };
    for (const Norm* norm = norms; norm < norms + n; norm++) {
      T *running_mean = static_cast<T*>(norm->mean), *running_variance = static_cast<T*>(norm->variance);
      for (int64_t c = 0; c < s.channels; c++) {
        double mean, variance;
        if (norm->sums) {
          mean = norm->sums[c] / pixels;
          variance = std::max(norm->sums[s.channels + c] / pixels - mean * mean, 0.0);
          if (running_mean) approach(running_mean[c], mean), approach(running_variance[c], variance * unbiased);
        } else {
          mean = running_mean[c], variance = running_variance[c];
        }
        const double scale = 1 / std::sqrt(variance + eps);
        norm->coefficients[c] = scale, norm->coefficients[s.channels + c] = -mean * scale;
      }
      if (norm->sums && running_mean && norm->batches) ++*norm->batches;
    }
  }

  // Poolings 3x3 with padding 1 of x [B, H, W, pixel]: maximum and mean, with sums [2, 2, C].
  static void pool(const T* x, const Shape& s, T* maximum, T* mean, double* sums, int threads) {
    const int64_t channels = s.channels, wide = padded(channels), parts = count_parts(s.batch);
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
                const T* from = x + (b * s.height * s.width + w.top * s.width + w.left) * s.pixel + c;
                V largest = get(from, channels - c), sum = {};
                w.each([&](int64_t u, int64_t v) INLINE {
                  const V value = get(from + (u * s.width + v) * s.pixel, channels - c);
                  largest = (value > largest) | (value != value) ? value : largest;  // as in torch, NaN is the maximum
                  sum += value;
                });
                sum *= w.share();
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
    add_parts(partial.data(), parts, 4 * channels, 4 * channels, sums);
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
          const int64_t first = (b * s.height + w.top) * s.width + w.left;
          for (int64_t c = 0; c < channels; c += LANES) {
            const int64_t at = ((b * rows + i) * count + j) * channels + c;
            const V largest = get(maximum + at, channels - c), zero = {};
            const V share = get(grad_mean + at, channels - c) * w.share();
            V open = get(grad_maximum + at, channels - c);
            w.each([&](int64_t u, int64_t v) INLINE {
              const int64_t p = first + u * s.width + v;
              const auto here = get(x + p * s.pixel + c, channels - c) == largest;
              T* to = grad_x + p * grad_pixel + c;
              put(to, get(to, channels - c) + share + (here ? open : zero), channels - c);
              open = here ? zero : open;
            });
          }
        }
  }

  struct Window {  // the pixels under a pooling's kernel
    int64_t top, bottom, left, right;
    Window(const Shape& s, int64_t i, int64_t j)
        : top(std::max<int64_t>(i * s.stride - 1, 0)),
          bottom(std::min(i * s.stride + 2, s.height)),
          left(std::max<int64_t>(j * s.stride - 1, 0)),
          right(std::min(j * s.stride + 2, s.width)) {}
    T share() const { return T(1) / T((bottom - top) * (right - left)); }

    // body(row, column) for each pixel, in order; of a whole window the compiler knows the size.
    template <typename Body>
    INLINE void each(Body body) const {
      if (bottom - top == 3 && right - left == 3) {
#pragma GCC unroll 3
        for (int64_t u = 0; u < 3; u++)
#pragma GCC unroll 3
          for (int64_t v = 0; v < 3; v++) body(u, v);
      } else {
        for (int64_t u = 0; u < bottom - top; u++)
          for (int64_t v = 0; v < right - left; v++) body(u, v);
      }
    }
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
    const int64_t channels = s.channels, wide = padded(channels), parts = count_parts(s.batch);
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
    add_parts(partial.data(), parts, n * channels, n * channels, sums);
  }
};

}  // namespace
