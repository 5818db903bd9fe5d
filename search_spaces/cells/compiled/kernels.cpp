// What Python calls: the loops, and the parts of a search-time cell.

#include "cell.h"

extern "C" {

void observe(Observer chosen) { observer = chosen; }

void forward(int64_t is_double, const Shape* s, const Job* jobs, int64_t n, int threads) {
  run_forward(is_double, *s, jobs, n, threads);
}

void backward(int64_t is_double, const Shape* s, const Job* jobs, int64_t n, int threads) {
  run_backward(is_double, *s, jobs, n, threads);
}

void combine(int64_t is_double, const Shape* s, const Term* terms, int64_t n, int threads) {
  run_combine(is_double, *s, terms, n, threads);
}

void dots(int64_t is_double, const Shape* s, const Term* terms, int64_t n, double* sums, int threads) {
  run_dots(is_double, *s, terms, n, sums, threads);
}

void product(int64_t is_double, const Product* job, int threads) { run_product(is_double, *job, false, threads); }

void product_backward(int64_t is_double, const Product* job, int threads) {
  run_product(is_double, *job, true, threads);
}

void cell_edges(const Cell* cell, int64_t state) { CellPass(*cell).edges(state); }

void cell_node(const Cell* cell, int64_t node, void* to, int64_t pixel) { CellPass(*cell).node(node, to, pixel); }

void cell_backward(const Cell* cell, int64_t state, const Gradients* grads) { CellPass(*cell).backward(state, *grads); }

}  // extern "C"
