// Vectors of channels, and what all loops share. Maps lie in memory with their channels last, [B, H, W, C].
//
// Threads take one part of the images after the other. Sums over images are kept for each part and added in a fixed
// order, so that results do not depend on the number of threads.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#define INLINE __attribute__((always_inline))

struct Shape {                                            // of the jobs of one call
  int64_t batch, height, width, channels, stride, pixel;  // pixel: elements from one pixel of x to the next
  int64_t out_height() const { return (height - 1) / stride + 1; }
  int64_t out_width() const { return (width - 1) / stride + 1; }
};

namespace {

constexpr int64_t AHEAD = 2;        // rows of maps that are on their way from memory
constexpr int64_t MOST_PARTS = 64;  // of a batch

int64_t count_parts(int64_t batch) { return std::min(batch, MOST_PARTS); }

int64_t count_parts(int64_t batch, int64_t bytes) {  // fewer where each needs so many bytes: 64 MB, or 8 parts
  return std::min(batch, std::clamp<int64_t>((int64_t(1) << 26) / std::max<int64_t>(bytes, 1), 8, MOST_PARTS));
}

// sums [count] = the sum of the parts [parts, pitch], in a fixed order.
template <typename T>
void add_parts(const T* partial, int64_t parts, int64_t pitch, int64_t count, T* sums) {
  for (int64_t i = 0; i < count; i++) {
    T sum = 0;
    for (int64_t part = 0; part < parts; part++) sum += partial[part * pitch + i];
    sums[i] = sum;
  }
}

template <typename T>
T* scratch(size_t elements) {  // this thread's own memory, 64-byte aligned, zeroed
  thread_local std::vector<char> memory;
  if (memory.size() < elements * sizeof(T) + 64) memory.resize(elements * sizeof(T) + 64);
  char* start = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
  std::memset(start, 0, elements * sizeof(T));
  return reinterpret_cast<T*>(start);
}

// What the processor has: bytes of its widest vector, and how many outputs fill its registers when each has two
// vectors.
#if defined(__AVX512F__)
constexpr int WIDEST = 64, PAIRS = 8;
#elif defined(__AVX__)
constexpr int WIDEST = 32, PAIRS = 4;
#else
constexpr int WIDEST = 16, PAIRS = 8;
#endif

// Splits `count` into tiles of MOST, then 8, 4 and 1; body(first, size) gets the size as a compile-time constant.
template <int MOST, typename Body>
INLINE inline void tiles(int64_t count, Body body) {
  int64_t n = 0;
  if constexpr (MOST >= 16)
    for (; n + 16 <= count; n += 16) body(n, std::integral_constant<int, 16>());
  if constexpr (MOST >= 8)
    for (; n + 8 <= count; n += 8) body(n, std::integral_constant<int, 8>());
  for (; n + 4 <= count; n += 4) body(n, std::integral_constant<int, 4>());
  for (; n < count; n++) body(n, std::integral_constant<int, 1>());
}

template <typename T, int BYTES>
struct Vectors {
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

  // Prefetches memory that is read (or written) AHEAD rows later: rows are too short, and maps too many, for the
  // hardware prefetcher. Beyond the end of a map this does nothing.
  static void read_soon(const T* at) { __builtin_prefetch(at, 0, 2); }
  static void write_soon(const T* at) { __builtin_prefetch(at, 1, 2); }

  // Writes a whole line of memory past the caches, which would have to read it first. For maps that are larger than
  // them; `to` is aligned to a line.
  static void stream(T* to, V v) {
#ifdef __AVX512F__
    if constexpr (BYTES == 64) return _mm512_stream_si512(reinterpret_cast<__m512i*>(to), reinterpret_cast<__m512i>(v));
#endif
    put(to, v);
  }
  static void end_stream() {  // before other threads read
#ifdef __AVX512F__
    _mm_sfence();
#endif
  }

  static void widen(const double* from, int64_t channels, T* to) {  // a row of coefficients
    for (int64_t c = 0; c < channels; c++) to[c] = T(from[c]);
  }

  static void flush(T* row, int64_t channels, double* sums) {  // sums of one row of pixels, into double
    for (int64_t c = 0; c < channels; c++) sums[c] += double(row[c]), row[c] = 0;
  }
};

}  // namespace
