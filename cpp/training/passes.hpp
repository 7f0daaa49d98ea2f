// Whole passes over tensors: they cut the rows into chunks, give the chunks to threads, and add what the chunks return in the
// order of the chunks. A chunk's size depends on the shape alone, so no result depends on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "training/codes.hpp"
#include "training/gradients.hpp"
#include "training/sums.hpp"
#include "training/weights.hpp"
#include "training/window.hpp"

namespace qz::training {

struct KernelSet {
    const char* name;
    const CodeKernels& codes;
    const SumKernels& sums;
    const GradientKernels& gradients;
    const WeightKernels& weights;
};

// The sets this CPU can run, the fastest first; "generic" is always the last.
const std::vector<KernelSet>& kernel_sets();

struct Rows {
    size_t count, channels;  // pixels of the batch, channels
    int threads;
};

struct Geometry {  // of a 2-d convolution; the first of a pair is vertical
    size_t images, in_height, in_width, out_height, out_width;
    size_t kernel[2], stride[2], padding[2], dilation[2];
};

bool quantize(const KernelSet& set, Rows rows, const float* x, float inverse, float zero, float top, uint8_t* q);

// The same and r = max(x, 0)
bool relu_quantize(const KernelSet& set, Rows rows, const float* x, float inverse, float zero, float top, float* r, uint8_t* q);

// out = q - zero as float32, or bfloat16 where `is_bf16`
void widen(const KernelSet& set, Rows rows, const uint8_t* q, float zero, void* out, bool is_bf16);

// out[n][y][x][g] = sum of q over the valid taps and the channels of group g
void window_sums(const KernelSet& set, const Geometry& geometry, size_t channels, size_t groups, int threads, const uint8_t* q, int32_t* out);

float add_window_sums(const KernelSet& set, Rows rows, size_t groups, const int32_t* window, float* sums);

// total float64 [2][channels], set here; see SumKernels::statistics
void statistics(const KernelSet& set, Rows rows, const float* sums, const float* shift, Borders borders, double* total);

// total float64 [2][channels], set here; see GradientKernels::norm_sums
void norm_sums(const KernelSet& set, Rows rows, const float* g, const float* sums, const float* shift, Borders borders, double* total);

void norm_input(const KernelSet& set, Rows rows, const float* g, const float* sums, const float* by_g, const float* by_sum,
                const float* constant, Borders borders, void* out, bool is_bf16);

void epilogue(const KernelSet& set, Rows rows, const float* sums, Epilogue epilogue, Borders borders, float* y);

bool epilogue_codes(const KernelSet& set, Rows rows, const float* sums, Epilogue epilogue, Borders borders, float inverse, float zero,
                    float top, float* y, uint8_t* q);

// norm_sums and norm_input for the gradient g of the codes of y, behind their window; out has the type of g.
// total float64 [3][channels], set here: the third is the sum of the gradient of y times y.
void coded_sums(const KernelSet& set, Rows rows, const void* g, bool is_bf16, const float* sums, Epilogue epilogue, Window window,
                const float* shift, Borders borders, double* total);

void coded_input(const KernelSet& set, Rows rows, const void* g, bool is_bf16, const float* sums, Epilogue epilogue, Window window,
                 const float* by_g, const float* by_sum, const float* constant, Borders borders, void* out);

// out = gradient of x; returns the sum of w(u) g (u - zero)
double through_window(const KernelSet& set, Rows rows, const void* g, bool is_bf16, const float* x, Window window, const float* skip,
                      float* out);

struct CodedWeights {
    std::vector<int> bits;
    int8_t* integer;  // [bits][out][k]
    bf16* wide;       // [bits][out][k]
    float* scale;     // [bits][out]
};

void code_weights(const KernelSet& set, size_t out_channels, size_t k, int threads, const float* weight, const float* range,
                  const CodedWeights& coded);

void divide_rows(const KernelSet& set, size_t out_channels, size_t k, int threads, const void* g, bool is_bf16, const float* scale, float* out);

// A number that changes when any of the n words changes place or value (Fletcher's sums, 32 lanes).
uint64_t checksum(size_t n, const uint32_t* words, uint64_t seed) noexcept;

}  // namespace qz::training
