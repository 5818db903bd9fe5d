// The loops, each in the vectors that its channels fill, and on as many threads as its maps are worth.

#pragma once

#include "convolutions.h"
#include "maps.h"
#include "products.h"

// Gets a call before and after every loop: its name, its maps, its jobs or terms and their number.
typedef void (*Observer)(const char* loop, const Shape* s, const void* items, int64_t n, int64_t has_ended);

namespace {

Observer observer = nullptr;

struct Observed {
  const char* loop;
  const Shape& s;
  const void* items;
  int64_t n;
  Observed(const char* loop, const Shape& s, const void* items = nullptr, int64_t n = 0)
      : loop(loop), s(s), items(items), n(n) {
    if (observer) observer(loop, &s, items, n, 0);
  }
  ~Observed() {
    if (observer) observer(loop, &s, items, n, 1);
  }
};

template <typename T, int BYTES>
struct Loops : Convolutions<T, BYTES>, Maps<T, BYTES> {
  using Number = T;
};

template <typename Body>
void dispatch(bool is_double, int64_t channels, Body body) {  // vectors that few channels fill
  if (is_double) return body(Loops<double, std::max(WIDEST, 32)>());
  if (channels <= 4 || channels == 12) return body(Loops<float, 16>());
  channels <= 8 ? body(Loops<float, std::min(WIDEST, 32)>()) : body(Loops<float, WIDEST>());
}

int worth(const Shape& s, int threads) {  // small maps are not shared
  return s.batch * s.height * s.width * s.channels < (1 << 14) ? 1 : threads;
}

void run_forward(bool is_double, const Shape& s, const Job* jobs, int64_t n, int threads) {
  const Observed observed("forward", s, jobs, n);
  dispatch(is_double, s.channels, [&](auto loops) { loops.forward(jobs, n, s, worth(s, threads)); });
}

void run_backward(bool is_double, const Shape& s, const Job* jobs, int64_t n, int threads) {
  const Observed observed("backward", s, jobs, n);
  dispatch(is_double, s.channels, [&](auto loops) { loops.backward(jobs, n, s, worth(s, threads)); });
}

void run_combine(bool is_double, const Shape& s, const Term* terms, int64_t n, int threads) {
  const Observed observed("combine", s, terms, n);
  dispatch(is_double, s.channels, [&](auto loops) { loops.combine(terms, n, s, worth(s, threads)); });
}

void run_dots(bool is_double, const Shape& s, const Term* terms, int64_t n, double* sums, int threads) {
  const Observed observed("dots", s, terms, n);
  dispatch(is_double, s.channels, [&](auto loops) { loops.dots(terms, n, s, sums, worth(s, threads)); });
}

void run_normalize(bool is_double, const Shape& s, const Norm* norms, int64_t n, double eps, double momentum) {
  const Observed observed("normalize", s, norms, n);
  dispatch(is_double, s.channels, [&](auto loops) { loops.normalize(norms, n, s, eps, momentum); });
}

void run_pool(bool is_double, const Shape& s, const void* x, void* maximum, void* mean, double* sums, int threads) {
  const Observed observed("pool", s);
  dispatch(is_double, s.channels, [&](auto loops) {
    using T = typename decltype(loops)::Number;
    loops.pool(static_cast<const T*>(x), s, static_cast<T*>(maximum), static_cast<T*>(mean), sums, worth(s, threads));
  });
}

void run_pool_backward(bool is_double, const Shape& s, const void* x, const void* maximum, const void* grad_maximum,
                       const void* grad_mean, void* grad_x, int64_t grad_pixel, int threads) {
  const Observed observed("pool_backward", s);
  dispatch(is_double, s.channels, [&](auto loops) {
    using T = typename decltype(loops)::Number;
    loops.pool_backward(static_cast<const T*>(x), s, static_cast<const T*>(maximum),
                        static_cast<const T*>(grad_maximum), static_cast<const T*>(grad_mean), static_cast<T*>(grad_x),
                        grad_pixel, worth(s, threads));
  });
}

void run_product(bool is_double, const Product& job, bool is_backward, int threads) {
  const Shape s{1, 1, job.pixels, job.in, 1, job.x_pixel};
  const Observed observed(is_backward ? "product_backward" : "product", s, &job, 1);
  const auto run = [&](auto products) {
    is_backward ? products.backward(job, worth(s, threads)) : products.forward(job, worth(s, threads));
  };
  if (is_double) return run(Products<double, std::max(WIDEST, 32)>());
  std::min(job.in, job.out) <= 8 ? run(Products<float, std::min(WIDEST, 32)>()) : run(Products<float, WIDEST>());
}

}  // namespace
