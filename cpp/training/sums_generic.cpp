#include <cmath>

#include "training/codes.hpp"
#include "training/sums.hpp"

namespace qz::training {
namespace {

size_t class_at(Borders borders, size_t row) noexcept {
    return borders.class_of ? static_cast<size_t>(borders.class_of[row % borders.area]) : 0;
}

float add_window_sums(size_t rows, size_t channels, size_t groups, const int32_t* window, float* sums) noexcept {
    const size_t width = channels / groups;
    float largest = 0;
    for (size_t i = 0; i < rows * channels; i++) {
        largest = std::fmax(largest, std::fabs(sums[i]));
        sums[i] = sums[i] * 2 + static_cast<float>(window[i / width]);
    }
    return largest;
}

void statistics(size_t first, size_t rows, size_t channels, const float* sums, const float* shift, Borders borders,
                double* total) noexcept {
    for (size_t r = 0; r < rows; r++) {
        const size_t row_class = class_at(borders, first + r);
        for (size_t c = 0; c < channels; c++) {
            double value = sums[r * channels + c];
            if (shift) value -= shift[row_class * channels + c];
            total[c] += value;
            total[channels + c] += value * value;
        }
    }
}

void epilogue(size_t first, size_t rows, size_t channels, const float* sums, const float* multiplier, const float* offset,
              Borders borders, float* y) noexcept {
    for (size_t r = 0; r < rows; r++) {
        const float* row_offset = offset + class_at(borders, first + r) * channels;
        for (size_t c = 0; c < channels; c++) y[r * channels + c] = sums[r * channels + c] * multiplier[c] + row_offset[c];
    }
}

bool epilogue_codes(size_t first, size_t rows, size_t channels, const float* sums, const float* multiplier, const float* offset,
                    Borders borders, float inverse, float zero, float top, float* y, uint8_t* q) noexcept {
    epilogue(first, rows, channels, sums, multiplier, offset, borders, y);
    return codes_generic.quantize(rows * channels, y, inverse, zero, top, q);
}

}  // namespace

const SumKernels sums_generic = {add_window_sums, statistics, epilogue, epilogue_codes};

}  // namespace qz::training
