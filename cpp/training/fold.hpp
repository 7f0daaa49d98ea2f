// Per-channel arithmetic between the passes, in float64: scales, bias, norm and zero point become m and t of y = A m + t.
#pragma once

#include <cstddef>

namespace qz::training {

// What a fold needs of a unit. Pointers are float32 [channels] and may be null where said.
struct UnitScales {
    size_t channels, n_classes;
    float step;          // d
    const float* scale;  // s
    const float* bias;   // or null: 0
    float zero;          // z
    const float* taps;   // V: float32 [n_classes][channels]; null where z = 0
};

struct Norm {
    const float* gamma;  // or null: 1
    const float* beta;   // or null: 0
    float* running_mean; // or null
    float* running_var;  // or null
    double eps;
};

// What the fold writes. `saved` is float64 [3][channels] for the gradients.
struct Folded {
    float* multiplier;  // m [channels]
    float* offset;      // t [n_classes][channels]
    double* saved;      // m unrounded; mean of A' (batch statistics) or of A' d s + bias (running); 1 / standard deviation of the same
};

// Batch statistics from totals [2][channels] of A' = A - z V over `count` pixels. eps becomes eps / (d s)^2, so no value of
// A' d s is ever formed. Running statistics move by `momentum` towards those of A' d s + bias (variance unbiased).
void fold_batch(const UnitScales& unit, const Norm& norm, const double* total, double count, double momentum, Folded out) noexcept;

// m = d s gain, t = (bias - running mean) gain + beta - m z V with gain = gamma / sqrt(running var + eps); no norm where
// running_mean is null: gain 1, mean and beta 0.
void fold_running(const UnitScales& unit, const Norm& norm, Folded out) noexcept;

// Totals of the gradient, float64 [2][channels]: sums of g and of g A'.
struct NormGradient {
    float* by_g;      // [channels]           the gradient of A is by_g g + by_sum A + constant
    float* by_sum;    // [channels]
    float* constant;  // [n_classes][channels]
    float* gamma;     // gradients [channels]
    float* beta;
    float* bias;
};

// Both return the direct term of the gradient of log d, which is in y besides A: with batch statistics only through eps / (d s)^2,
// gamma / deviation^2 eps / (d s)^2 sum(g normalised A'); else sum(g m A').
double norm_gradient_batch(const UnitScales& unit, const Norm& norm, const double* saved, const double* total, double count,
                           NormGradient out) noexcept;
double norm_gradient_running(const UnitScales& unit, const Norm& norm, const double* saved, const double* total, NormGradient out) noexcept;

}  // namespace qz::training
