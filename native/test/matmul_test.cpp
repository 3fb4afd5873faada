// Checks the matrix products: every type, instruction set, odd shapes, one token and many, several threads. Each result is
// compared with a product in double precision, and, bit for bit, with the portable kernels on one thread, a token alone.
//
// Build and run: native/test/run.sh test [0 for fewer cases] [types, such as q4_0,q8_0] (see there for other machines).
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "../matmul.h"
#include "random.h"

using namespace grok1;

static int failures = 0;

static void check(bool good, const char* what, Isa isa, int type, int64_t rows, int64_t cols, int64_t n, int threads, double value) {
  if (good) return;
  failures++;
  std::printf("FAILED %s: %s %s rows %lld cols %lld n %lld threads %d: %g\n", what, isaName(isa), typeName(type), (long long)rows,
              (long long)cols, (long long)n, threads, value);
}

static std::vector<float> toFloats(int type, const std::vector<uint8_t>& bytes, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  dequantizeRow(type, bytes.data(), values.data(), count);
  return values;
}

static std::vector<float> exact(const std::vector<float>& w, const std::vector<float>& x, int64_t rows, int64_t cols, int64_t n) {
  std::vector<float> out(size_t(n * rows));
  for (int64_t t = 0; t < n; t++) {
    for (int64_t r = 0; r < rows; r++) {
      double sum = 0;
      for (int64_t k = 0; k < cols; k++) sum += double(w[size_t(r * cols + k)]) * double(x[size_t(t * cols + k)]);
      out[size_t(t * rows + r)] = float(sum);
    }
  }
  return out;
}

static double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); i++) {
    difference += (double(a[i]) - double(b[i])) * (double(a[i]) - double(b[i]));
    size += double(b[i]) * double(b[i]);
  }
  return std::sqrt(difference / size);
}

static int64_t different(const std::vector<float>& a, const std::vector<float>& b) {
  int64_t count = 0;
  for (size_t i = 0; i < a.size(); i++) count += std::memcmp(&a[i], &b[i], 4) != 0;
  return count;
}

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::atoi(argv[1]) == 0;
  const std::string types = argc > 2 ? std::string(",") + argv[2] + "," : "";
  std::vector<std::unique_ptr<ThreadPool>> pools;
  for (int t = 1; t <= 4; t++) pools.push_back(std::make_unique<ThreadPool>(t));
  Random random(7);
  Arena arena;
  std::vector<Isa> isas;
  for (const Isa isa : kIsas) {
    if (isaUsable(isa)) isas.push_back(isa);
  }

  for (const int type : kTypes) {
    if (!types.empty() && types.find(std::string(",") + typeName(type) + ",") == std::string::npos) continue;
    const BlockSize size = blockSize(type);
    double worst = 0, worstOfTwo = 0;
    struct Shape {
      int64_t rows, cols, n;
    };
    std::vector<Shape> shapes = {{1, 256, 1}, {3, 512, 2}, {8, 768, 5}, {16, 256, 13}, {17, 4352, 3}, {37, 8448, 12}, {50, 4096, 30}, {100, 1280, 70}};
    if (size.elements == 32) shapes.insert(shapes.end(), {{5, 32, 1}, {19, 96, 7}, {33, 576, 4}, {33, 4128, 25}, {20, 8192 + 160, 9}});
    if (size.elements == 1) shapes.insert(shapes.end(), {{5, 1, 3}, {19, 7, 7}, {33, 575, 4}, {33, 1025, 25}, {20, 4111, 9}});
    if (!quick) shapes.push_back({300, 6144, 67});
    for (const Shape& s : shapes) {
      const auto w = randomWeights(type, s.rows, s.cols, random);
      std::vector<float> x(size_t(s.n * s.cols));
      for (float& v : x) v = random.normal();
      const auto truth = exact(toFloats(type, w, s.rows * s.cols), x, s.rows, s.cols, s.n);

      for (int digits = 1; digits <= (size.elements == 1 ? 1 : 2); digits++) {
        const WeightRef weight = {w.data(), type, s.rows, s.cols, w.size() / size_t(s.rows), digits};
        std::vector<float> alone(size_t(s.n * s.rows));  // portable kernels, token by token
        for (int64_t t = 0; t < s.n; t++) {
          matmul(*pools[0], Isa::scalar, weight, x.data() + t * s.cols, 1, s.cols, alone.data() + t * s.rows, s.rows, arena);
        }
        const double error = distance(alone, truth);
        (digits == 1 ? worst : worstOfTwo) = std::max(digits == 1 ? worst : worstOfTwo, error);
        const double bound = size.elements == 1 ? 1e-6 : s.rows * s.n < 64 ? 0.2 : 0.01;
        check(error < (digits == 1 ? bound : bound / 100), "accuracy", Isa::scalar, type, s.rows, s.cols, s.n, 1, error);

        for (const Isa isa : isas) {
          for (int threads = 1; threads <= 4; threads += quick ? 3 : 1) {
            const int64_t ldo = s.rows + 3;
            std::vector<float> padded(size_t(s.n * ldo), -77.0f), out(size_t(s.n * s.rows));
            matmul(*pools[size_t(threads - 1)], isa, weight, x.data(), s.n, s.cols, padded.data(), ldo, arena);
            bool kept = true;
            for (int64_t t = 0; t < s.n; t++) {
              std::memcpy(out.data() + t * s.rows, padded.data() + t * ldo, size_t(s.rows) * 4);
              for (int64_t i = s.rows; i < ldo; i++) kept = kept && padded[size_t(t * ldo + i)] == -77.0f;
            }
            check(kept, "bounds", isa, type, s.rows, s.cols, s.n, threads, 0);
            const int64_t count = different(out, alone);
            check(count == 0, "bit equality", isa, type, s.rows, s.cols, s.n, threads, double(count));
          }
          if (s.n > 1) {  // one token alone, on this instruction set
            std::vector<float> one(size_t(s.rows)), same(alone.begin(), alone.begin() + s.rows);
            matmul(*pools[1], isa, weight, x.data(), 1, s.cols, one.data(), s.rows, arena);
            check(different(one, same) == 0, "alone", isa, type, s.rows, s.cols, 1, 2, 0);
          }
        }
      }
    }

    // Codes of weights and activations at their ends: the largest sums there can be.
    if (size.elements > 1) {
      const int64_t rows = 20, cols = 512, n = 12;
      const auto w = extremeWeights(type, rows, cols, random);
      const WeightRef weight = {w.data(), type, rows, cols, w.size() / size_t(rows)};
      std::vector<float> x(size_t(n * cols)), alone(size_t(n * rows)), out(size_t(n * rows));
      for (int64_t i = 0; i < n * cols; i++) x[size_t(i)] = i / cols % 3 == 0 ? 1.0f : i / cols % 3 == 1 ? -1.0f : i % 4 < 2 ? 1.0f : -1.0f;
      for (int64_t t = 0; t < n; t++) matmul(*pools[0], Isa::scalar, weight, x.data() + t * cols, 1, cols, alone.data() + t * rows, rows, arena);
      for (const Isa isa : isas) {
        for (const int64_t tokens : {int64_t(1), n}) {
          matmul(*pools[1], isa, weight, x.data(), tokens, cols, out.data(), rows, arena);
          const int64_t count = different({out.begin(), out.begin() + tokens * rows}, {alone.begin(), alone.begin() + tokens * rows});
          check(count == 0, "largest sums", isa, type, rows, cols, tokens, 2, double(count));
        }
      }
    }

    // A row that is no number leaves its neighbours alone, also where they end within a group of columns. (MXFP4 has none.)
    if (size.elements == 32 && type != MXFP4) {
      const int64_t rows = 24, cols = 576;
      auto w = randomWeights(type, rows, cols, random);
      const WeightRef weight = {w.data(), type, rows, cols, w.size() / size_t(rows)};
      std::vector<float> x(cols), before(rows), after(rows);
      for (float& v : x) v = random.normal();
      for (const Isa isa : isas) {
        auto bad = w;
        for (size_t at = 6 * weight.rowBytes; at < 7 * weight.rowBytes; at += size_t(size.bytes)) bad[at] = 0, bad[at + 1] = 0x7e;
        WeightRef spoilt = weight;
        spoilt.data = bad.data();
        matmul(*pools[1], isa, weight, x.data(), 1, cols, before.data(), rows, arena);
        matmul(*pools[1], isa, spoilt, x.data(), 1, cols, after.data(), rows, arena);
        check(std::isnan(after[6]), "a row of no numbers", isa, type, rows, cols, 1, 2, after[6]);
        after[6] = before[6];
        check(different(after, before) == 0, "neighbours", isa, type, rows, cols, 1, 2, 0);
      }
    }

    // Experts.
    for (const int64_t n : {1, 3, 9, 40}) {
      const int64_t width = 256, hidden = size.elements == 1 ? 83 : size.elements == 32 ? 352 : 512, count = 5;
      const int used = 2;
      std::vector<std::vector<uint8_t>> bytes;
      std::vector<WeightRef> gates, ups, downs;
      for (int64_t e = 0; e < count; e++) {
        for (auto* refs : {&gates, &ups, &downs}) {
          const int64_t rows = refs == &downs ? width : hidden, cols = refs == &downs ? hidden : width;
          bytes.push_back(randomWeights(type, rows, cols, random));
          refs->push_back({bytes.back().data(), type, rows, cols, bytes.back().size() / size_t(rows)});
        }
      }
      std::vector<float> x(size_t(n * width)), weights(size_t(n * used));
      std::vector<int32_t> chosen(size_t(n * used));
      for (float& v : x) v = random.normal() * 0.1f;
      for (int64_t t = 0; t < n; t++) {
        chosen[size_t(2 * t)] = int32_t(random.next() % 5);
        chosen[size_t(2 * t + 1)] = int32_t((chosen[size_t(2 * t)] + 1 + random.next() % 4) % 5);
        weights[size_t(2 * t)] = 0.6f, weights[size_t(2 * t + 1)] = 0.3f;
      }
      const ExpertRefs refs = {count, gates.data(), ups.data(), downs.data()};
      for (const Gating gating : {Gating::gelu, Gating::silu}) {
        std::vector<float> truth(size_t(n * width), 0.0f);
        for (int64_t t = 0; t < n; t++) {
          for (int j = 0; j < used; j++) {
            const size_t e = size_t(chosen[size_t(2 * t + j)]);
            const std::vector<float> row(x.begin() + t * width, x.begin() + (t + 1) * width);
            auto g = exact(toFloats(type, bytes[3 * e], hidden * width), row, hidden, width, 1);
            const auto u = exact(toFloats(type, bytes[3 * e + 1], hidden * width), row, hidden, width, 1);
            for (size_t i = 0; i < g.size(); i++) {
              const double v = g[i], z = gating == Gating::gelu ? 1.5957691216057308 * (v + 0.044715 * v * v * v) : v;
              g[i] = float(v / (1 + std::exp(-z)) * u[i]);
            }
            const auto y = exact(toFloats(type, bytes[3 * e + 2], hidden * width), g, width, hidden, 1);
            for (int64_t r = 0; r < width; r++) truth[size_t(t * width + r)] += weights[size_t(2 * t + j)] * y[size_t(r)];
          }
        }
        for (const Isa isa : isas) {
          std::vector<float> alone(truth.size()), out(truth.size());
          for (int64_t t = 0; t < n; t++) {
            experts(*pools[0], isa, refs, x.data() + t * width, 1, chosen.data() + 2 * t, weights.data() + 2 * t, used, gating,
                    alone.data() + t * width, arena);
          }
          const double error = distance(alone, truth);
          check(error < (size.elements == 1 ? 2e-6 : 0.03), "experts' accuracy", isa, type, hidden, width, n, 1, error);
          for (int threads = 1; threads <= 4; threads++) {
            experts(*pools[size_t(threads - 1)], isa, refs, x.data(), n, chosen.data(), weights.data(), used, gating, out.data(), arena);
            const int64_t count = different(out, alone);
            check(count == 0, "experts' bit equality", isa, type, hidden, width, n, threads, double(count));
          }
        }
      }
    }
    std::printf("%-7s worst error %.2e, with two digits %.2e\n", typeName(type), worst, worstOfTwo);
    std::fflush(stdout);
  }
  std::printf(failures == 0 ? "all good:" : "%d failures:", failures);
  for (const Isa isa : isas) std::printf(" %s", isaName(isa));
  std::printf("\n");
  return failures == 0 ? 0 : 1;
}
