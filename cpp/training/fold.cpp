#include "training/fold.hpp"

#include <algorithm>
#include <cmath>

namespace qz::training {
namespace {

double at(const float* values, size_t c, double otherwise) noexcept { return values ? static_cast<double>(values[c]) : otherwise; }

// z V of a class, 0 where there is no zero point
double shift(const UnitScales& unit, size_t border, size_t c) noexcept {
    return unit.taps ? static_cast<double>(unit.zero) * static_cast<double>(unit.taps[border * unit.channels + c]) : 0.0;
}

void move_towards(float* running, double value, double momentum) noexcept {
    *running = static_cast<float>(momentum * value + (1 - momentum) * static_cast<double>(*running));
}

}  // namespace

void fold_batch(const UnitScales& unit, const Norm& norm, const double* total, double count, double momentum, Folded out) noexcept {
    const size_t n = unit.channels;
    for (size_t c = 0; c < n; c++) {
        const double factor = static_cast<double>(unit.step) * static_cast<double>(unit.scale[c]);
        const double mean = total[c] / count, variance = std::max(0.0, total[n + c] / count - mean * mean);
        const double inverse_deviation = 1 / std::sqrt(variance + norm.eps / (factor * factor));
        const double m = at(norm.gamma, c, 1.0) * inverse_deviation;
        if (norm.running_mean) {
            move_towards(norm.running_mean + c, mean * factor + at(unit.bias, c, 0.0), momentum);
            move_towards(norm.running_var + c, variance * factor * factor * count / std::max(1.0, count - 1), momentum);
        }
        out.multiplier[c] = static_cast<float>(m);
        for (size_t border = 0; border < unit.n_classes; border++)
            out.offset[border * n + c] = static_cast<float>(at(norm.beta, c, 0.0) - (mean + shift(unit, border, c)) * m);
        out.saved[c] = m;
        out.saved[n + c] = mean;
        out.saved[2 * n + c] = inverse_deviation;
    }
}

void fold_running(const UnitScales& unit, const Norm& norm, Folded out) noexcept {
    const size_t n = unit.channels;
    for (size_t c = 0; c < n; c++) {
        double m = static_cast<double>(unit.step) * static_cast<double>(unit.scale[c]), offset = at(unit.bias, c, 0.0);
        double mean = 0, inverse_deviation = 1;
        if (norm.running_mean) {
            mean = static_cast<double>(norm.running_mean[c]);
            inverse_deviation = 1 / std::sqrt(static_cast<double>(norm.running_var[c]) + norm.eps);
            const double gain = inverse_deviation * at(norm.gamma, c, 1.0);
            offset = (offset - mean) * gain + at(norm.beta, c, 0.0);
            m = m * gain;
        }
        out.multiplier[c] = static_cast<float>(m);
        for (size_t border = 0; border < unit.n_classes; border++) {
            const double taps = unit.taps ? static_cast<double>(unit.taps[border * n + c]) : 0.0;
            out.offset[border * n + c] = static_cast<float>(offset - m * static_cast<double>(unit.zero) * taps);
        }
        out.saved[c] = m;
        out.saved[n + c] = mean;
        out.saved[2 * n + c] = inverse_deviation;
    }
}

double norm_gradient_batch(const UnitScales& unit, const Norm& norm, const double* saved, const double* total, double count,
                           NormGradient out) noexcept {
    const size_t n = unit.channels;
    double direct = 0;
    for (size_t c = 0; c < n; c++) {
        const double m = saved[c], mean = saved[n + c], inverse_deviation = saved[2 * n + c];
        const double sum = total[c], by_normalised = inverse_deviation * (total[n + c] - mean * sum);
        const double by_sum = -m * inverse_deviation * by_normalised / count;
        const double constant = -m * sum / count - by_sum * mean;
        out.by_g[c] = static_cast<float>(m);
        out.by_sum[c] = static_cast<float>(by_sum);
        for (size_t border = 0; border < unit.n_classes; border++)
            out.constant[border * n + c] = static_cast<float>(constant - by_sum * shift(unit, border, c));
        out.gamma[c] = static_cast<float>(by_normalised);
        out.beta[c] = static_cast<float>(sum);
        out.bias[c] = 0;  // the mean takes it away
        const double factor = static_cast<double>(unit.step) * static_cast<double>(unit.scale[c]);
        direct += m * inverse_deviation * by_normalised * norm.eps / (factor * factor);
    }
    return direct;
}

double norm_gradient_running(const UnitScales& unit, const Norm& norm, const double* saved, const double* total, NormGradient out) noexcept {
    const size_t n = unit.channels;
    double direct = 0;
    std::fill(out.constant, out.constant + unit.n_classes * n, 0.0f);
    for (size_t c = 0; c < n; c++) {
        const double m = saved[c], mean = saved[n + c], inverse_deviation = saved[2 * n + c];
        const double factor = static_cast<double>(unit.step) * static_cast<double>(unit.scale[c]), bias = at(unit.bias, c, 0.0);
        out.by_g[c] = static_cast<float>(m);
        out.by_sum[c] = 0;
        out.gamma[c] = static_cast<float>(inverse_deviation * (factor * total[n + c] + (bias - mean) * total[c]));
        out.beta[c] = static_cast<float>(total[c]);
        out.bias[c] = static_cast<float>(total[c] * inverse_deviation * (norm.running_mean ? at(norm.gamma, c, 1.0) : 1.0));
        direct += m * total[n + c];
    }
    return direct;
}

}  // namespace qz::training
