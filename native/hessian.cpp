// What a matrix's inputs say of it: H = Xᵀ X, and the factor of its inverse that compensated rounding goes by.
#include <algorithm>
#include <cmath>

#include "arena.h"
#include "compensate.h"
#include "memory.h"
#include "sgemm.h"

namespace grok1 {

void addGram(ThreadPool& pool, Isa isa, const float* x, int64_t rows, int64_t cols, float* gram) {
  Arena arena;
  sgemm(pool, gradKernels(isa), cols, cols, rows, {x, cols, true}, rightFloats(x, rows, cols, cols, false), gram, cols, true, arena);
}

namespace {

constexpr int64_t kPanel = 64;

// a[0..n) -= f * b[0..n)
void subtract(double* a, const double* b, double f, int64_t n) {
  for (int64_t i = 0; i < n; i++) a[i] -= f * b[i];
}

// G = VᵀV, V upper triangular, in the place of G's upper triangle. False where there is none.
bool factorUpper(ThreadPool& pool, double* g, int64_t n) {
  for (int64_t first = 0; first < n; first += kPanel) {
    const int64_t end = std::min(n, first + kPanel);
    for (int64_t k = first; k < end; k++) {
      double* const row = g + k * n;
      if (!(row[k] > 0 && std::isfinite(row[k]))) return false;
      const double scale = 1 / std::sqrt(row[k]);
      for (int64_t i = k; i < n; i++) row[i] *= scale;
      for (int64_t i = k + 1; i < end; i++) subtract(g + i * n + i, row + i, row[i], n - i);
    }
    pool.run([&](int, int) {
      for (int64_t i; (i = end + pool.next()) < n;) {
        for (int64_t k = first; k < end; k++) subtract(g + i * n + i, g + k * n + i, g[k * n + i], n - i);
      }
    });
  }
  return true;
}

}  // namespace

bool factorInverse(ThreadPool& pool, const float* gram, const int32_t* order, int64_t cols, double damping, float* factor) {
  const int64_t n = cols;
  Memory memory(size_t(n) * size_t(n) * sizeof(double));
  double* const g = reinterpret_cast<double*>(memory.data());
  double mean = 0;
  for (int64_t i = 0; i < n; i++) mean += double(gram[i * n + i]) / double(n);
  // With J the matrix that turns an order around: J H J = VᵀV, so H⁻¹ = UᵀU for U = J V⁻ᵀ J, which is upper triangular.
  const auto column = [&](int64_t i) { return int64_t(order[n - 1 - i]); };
  for (int64_t i = 0; i < n; i++) {
    for (int64_t j = i; j < n; j++) g[i * n + j] = gram[column(i) * n + column(j)];
    g[i * n + i] += mean > 0 ? damping * mean : 1;
  }
  if (!factorUpper(pool, g, n)) return false;
  for (int64_t i = 0; i < n; i++) {
    for (int64_t k = 0; k < i; k++) g[i * n + k] = g[k * n + i];
  }
  std::fill(factor, factor + n * n, 0.0f);
  // X = V⁻ᵀ is lower triangular: X[i] = (I[i] - Σ_{k<i} V[k][i] X[k]) / V[i][i], some columns at a time.
  Memory columns(size_t(pool.size()) * size_t(n * kPanel) * sizeof(double));
  pool.run([&](int thread, int) {
    double* const x = reinterpret_cast<double*>(columns.data()) + int64_t(thread) * n * kPanel;
    for (int64_t first; (first = pool.next(kPanel)) < n;) {
      const int64_t width = std::min(kPanel, n - first);
      for (int64_t i = first; i < n; i++) {
        double* const row = x + i * kPanel;
        for (int64_t c = 0; c < width; c++) row[c] = first + c == i;
        for (int64_t k = first; k < i; k++) subtract(row, x + k * kPanel, g[i * n + k], width);
        for (int64_t c = 0; c < width; c++) {
          row[c] /= g[i * n + i];
          if (first + c <= i) factor[(n - 1 - i) * n + (n - 1 - first - c)] = float(row[c]);
        }
      }
    }
  });
  return true;
}

}  // namespace grok1
