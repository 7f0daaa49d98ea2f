// The passes of the fused training unit, as functions over addresses; no arithmetic here.
//
// Addresses, not arrays: torch hands out a tensor's address in 0.07 us, while an ndarray argument takes its __dlpack__, a Python
// method of 2.2 us a tensor; a unit passes some thirty tensors a step. network/passes.py checks dtype, layout and size, and is
// the only caller. An address of 0 stands for a missing tensor. Every pass releases the interpreter lock.
#include "training/bindings.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "training/fold.hpp"
#include "training/passes.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace qz::training {
namespace {

using Address = uintptr_t;
using Pair = std::tuple<size_t, size_t>;

template <class T>
T* as(Address address) {
    return reinterpret_cast<T*>(address);
}

const KernelSet* chosen = nullptr;  // guarded by the interpreter lock

const KernelSet& kernels() {
    if (!chosen) chosen = &kernel_sets().front();
    return *chosen;
}

std::vector<std::string> kernel_names() {
    std::vector<std::string> names;
    for (const KernelSet& set : kernel_sets()) names.emplace_back(set.name);
    return names;
}

void use_kernels(const std::string& name) {
    for (const KernelSet& set : kernel_sets())
        if (name == set.name) {
            chosen = &set;
            return;
        }
    std::string known;
    for (const std::string& other : kernel_names()) known += (known.empty() ? "" : ", ") + other;
    throw std::invalid_argument("kernels '" + name + "': this CPU has " + known + "; name one of these");
}

Borders borders_at(Address class_of, size_t area) { return {as<const int32_t>(class_of), area}; }

bool quantize_at(size_t rows, size_t channels, int threads, Address x, float inverse, float zero, float top, Address q) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    return quantize(set, {rows, channels, threads}, as<const float>(x), inverse, zero, top, as<uint8_t>(q));
}

bool relu_quantize_at(size_t rows, size_t channels, int threads, Address x, float inverse, float zero, float top, Address r, Address q) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    return relu_quantize(set, {rows, channels, threads}, as<const float>(x), inverse, zero, top, as<float>(r), as<uint8_t>(q));
}

void widen_at(size_t rows, size_t channels, int threads, Address q, float zero, Address out, bool is_bf16) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    widen(set, {rows, channels, threads}, as<const uint8_t>(q), zero, as<void>(out), is_bf16);
}

void window_sums_at(size_t images, size_t channels, size_t groups, int threads, Pair in_size, Pair out_size, Pair kernel, Pair stride,
                    Pair padding, Pair dilation, Address q, Address out) {
    const KernelSet& set = kernels();
    const auto [in_height, in_width] = in_size;
    const auto [out_height, out_width] = out_size;
    Geometry geometry{images, in_height, in_width, out_height, out_width, {}, {}, {}, {}};
    std::tie(geometry.kernel[0], geometry.kernel[1]) = kernel;
    std::tie(geometry.stride[0], geometry.stride[1]) = stride;
    std::tie(geometry.padding[0], geometry.padding[1]) = padding;
    std::tie(geometry.dilation[0], geometry.dilation[1]) = dilation;
    nb::gil_scoped_release released;
    window_sums(set, geometry, channels, groups, threads, as<const uint8_t>(q), as<int32_t>(out));
}

float add_window_sums_at(size_t rows, size_t channels, int threads, size_t groups, Address window, Address sums) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    return add_window_sums(set, {rows, channels, threads}, groups, as<const int32_t>(window), as<float>(sums));
}

void statistics_at(size_t rows, size_t channels, int threads, Address sums, Address shift, Address class_of, size_t area, Address total) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    statistics(set, {rows, channels, threads}, as<const float>(sums), as<const float>(shift), borders_at(class_of, area), as<double>(total));
}

void epilogue_at(size_t rows, size_t channels, int threads, Address sums, Address multiplier, Address offset, Address class_of, size_t area,
                 Address y) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    epilogue(set, {rows, channels, threads}, as<const float>(sums), {as<const float>(multiplier), as<const float>(offset)},
             borders_at(class_of, area), as<float>(y));
}

bool epilogue_codes_at(size_t rows, size_t channels, int threads, Address sums, Address multiplier, Address offset, Address class_of,
                       size_t area, float inverse, float zero, float top, Address y, Address q) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    return epilogue_codes(set, {rows, channels, threads}, as<const float>(sums), {as<const float>(multiplier), as<const float>(offset)},
                          borders_at(class_of, area), inverse, zero, top, as<float>(y), as<uint8_t>(q));
}

void norm_sums_at(size_t rows, size_t channels, int threads, Address g, Address sums, Address shift, Address class_of, size_t area,
                  Address total) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    norm_sums(set, {rows, channels, threads}, as<const float>(g), as<const float>(sums), as<const float>(shift), borders_at(class_of, area),
              as<double>(total));
}

void norm_input_at(size_t rows, size_t channels, int threads, Address g, Address sums, Address by_g, Address by_sum, Address constant,
                   Address class_of, size_t area, Address out, bool is_bf16) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    norm_input(set, {rows, channels, threads}, as<const float>(g), as<const float>(sums), as<const float>(by_g), as<const float>(by_sum),
               as<const float>(constant), borders_at(class_of, area), as<void>(out), is_bf16);
}

using WindowAt = std::tuple<float, float, float, float, Address>;
using EpilogueAt = std::tuple<Address, Address>;

Window opening(const WindowAt& window) {
    const auto [inverse, zero, low, high, peak] = window;
    return {inverse, zero, low, high, as<const float>(peak)};
}

Epilogue epilogue_of(const EpilogueAt& epilogue) { return {as<const float>(std::get<0>(epilogue)), as<const float>(std::get<1>(epilogue))}; }

void coded_sums_at(size_t rows, size_t channels, int threads, Address g, bool is_bf16, Address sums, const EpilogueAt& epilogue,
                   const WindowAt& window, Address shift, Address class_of, size_t area, Address total) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    coded_sums(set, {rows, channels, threads}, as<const void>(g), is_bf16, as<const float>(sums), epilogue_of(epilogue), opening(window),
               as<const float>(shift), borders_at(class_of, area), as<double>(total));
}

void coded_input_at(size_t rows, size_t channels, int threads, Address g, bool is_bf16, Address sums, const EpilogueAt& epilogue,
                    const WindowAt& window, Address by_g, Address by_sum, Address constant, Address class_of, size_t area, Address out) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    coded_input(set, {rows, channels, threads}, as<const void>(g), is_bf16, as<const float>(sums), epilogue_of(epilogue), opening(window),
                as<const float>(by_g), as<const float>(by_sum), as<const float>(constant), borders_at(class_of, area), as<void>(out));
}

double window_at(size_t rows, size_t channels, int threads, Address g, bool is_bf16, Address x, const WindowAt& window, Address skip,
                 Address out) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    return through_window(set, {rows, channels, threads}, as<const void>(g), is_bf16, as<const float>(x), opening(window),
                          as<const float>(skip), as<float>(out));
}

void code_weights_at(size_t out_channels, size_t k, int threads, Address weight, Address range, const std::vector<int>& bits,
                     Address integer, Address wide, Address scale) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    code_weights(set, out_channels, k, threads, as<const float>(weight), as<const float>(range),
                 {bits, as<int8_t>(integer), as<bf16>(wide), as<float>(scale)});
}

void divide_rows_at(size_t out_channels, size_t k, int threads, Address g, bool is_bf16, Address scale, Address out) {
    const KernelSet& set = kernels();
    nb::gil_scoped_release released;
    divide_rows(set, out_channels, k, threads, as<const void>(g), is_bf16, as<const float>(scale), as<float>(out));
}

uint64_t checksum_at(size_t n, Address words, uint64_t seed) {
    nb::gil_scoped_release released;
    return checksum(n, as<const uint32_t>(words), seed);
}

using UnitAt = std::tuple<size_t, size_t, float, Address, Address, float, Address>;
using NormAt = std::tuple<Address, Address, Address, Address, double>;

UnitScales unit_at(const UnitAt& unit) {
    const auto [channels, n_classes, step, scale, bias, zero, taps] = unit;
    return {channels, n_classes, step, as<const float>(scale), as<const float>(bias), zero, as<const float>(taps)};
}

Norm norm_at(const NormAt& norm) {
    const auto [gamma, beta, running_mean, running_var, eps] = norm;
    return {as<const float>(gamma), as<const float>(beta), as<float>(running_mean), as<float>(running_var), eps};
}

void fold_batch_at(const UnitAt& unit, const NormAt& norm, Address total, double count, double momentum, Address multiplier,
                   Address offset, Address saved) {
    fold_batch(unit_at(unit), norm_at(norm), as<const double>(total), count, momentum,
               {as<float>(multiplier), as<float>(offset), as<double>(saved)});
}

void fold_running_at(const UnitAt& unit, const NormAt& norm, Address multiplier, Address offset, Address saved) {
    fold_running(unit_at(unit), norm_at(norm), {as<float>(multiplier), as<float>(offset), as<double>(saved)});
}

// coefficients float32 [2 + n_classes][channels]: by_g, by_sum, constant; gradients float32 [3][channels]: gamma, beta, bias
NormGradient gradient_at(Address coefficients, Address gradients, size_t channels) {
    float* const by_g = as<float>(coefficients);
    float* const gamma = as<float>(gradients);
    return {by_g, by_g + channels, by_g + 2 * channels, gamma, gamma + channels, gamma + 2 * channels};
}

double norm_gradient_batch_at(const UnitAt& unit, const NormAt& norm, Address saved, Address total, double count, Address coefficients,
                              Address gradients) {
    const UnitScales scales = unit_at(unit);
    return norm_gradient_batch(scales, norm_at(norm), as<const double>(saved), as<const double>(total), count,
                        gradient_at(coefficients, gradients, scales.channels));
}

double norm_gradient_running_at(const UnitAt& unit, const NormAt& norm, Address saved, Address total, Address coefficients, Address gradients) {
    const UnitScales scales = unit_at(unit);
    return norm_gradient_running(scales, norm_at(norm), as<const double>(saved), as<const double>(total),
                                 gradient_at(coefficients, gradients, scales.channels));
}

}  // namespace

void bind(nb::module_& m) {
    m.def("unit_kernels", &kernel_names, "Return the names of the kernel sets that this CPU can run, the fastest first.");
    m.def("unit_use_kernels", &use_kernels, "name"_a, "Run all later passes with this kernel set; ValueError for a name that is not one.");
    m.def("unit_quantize", &quantize_at, "rows"_a, "channels"_a, "threads"_a, "x"_a, "inverse"_a, "zero"_a, "top"_a, "q"_a);
    m.def("unit_relu_quantize", &relu_quantize_at, "rows"_a, "channels"_a, "threads"_a, "x"_a, "inverse"_a, "zero"_a, "top"_a, "r"_a, "q"_a);
    m.def("unit_widen", &widen_at, "rows"_a, "channels"_a, "threads"_a, "q"_a, "zero"_a, "out"_a, "is_bf16"_a);
    m.def("unit_window_sums", &window_sums_at, "images"_a, "channels"_a, "groups"_a, "threads"_a, "in_size"_a, "out_size"_a, "kernel"_a,
          "stride"_a, "padding"_a, "dilation"_a, "q"_a, "out"_a);
    m.def("unit_add_window_sums", &add_window_sums_at, "rows"_a, "channels"_a, "threads"_a, "groups"_a, "window"_a, "sums"_a);
    m.def("unit_statistics", &statistics_at, "rows"_a, "channels"_a, "threads"_a, "sums"_a, "shift"_a, "class_of"_a, "area"_a, "total"_a);
    m.def("unit_epilogue", &epilogue_at, "rows"_a, "channels"_a, "threads"_a, "sums"_a, "multiplier"_a, "offset"_a, "class_of"_a, "area"_a,
          "y"_a);
    m.def("unit_epilogue_codes", &epilogue_codes_at, "rows"_a, "channels"_a, "threads"_a, "sums"_a, "multiplier"_a, "offset"_a, "class_of"_a,
          "area"_a, "inverse"_a, "zero"_a, "top"_a, "y"_a, "q"_a);
    m.def("unit_norm_sums", &norm_sums_at, "rows"_a, "channels"_a, "threads"_a, "g"_a, "sums"_a, "shift"_a, "class_of"_a, "area"_a,
          "total"_a);
    m.def("unit_norm_input", &norm_input_at, "rows"_a, "channels"_a, "threads"_a, "g"_a, "sums"_a, "by_g"_a, "by_sum"_a, "constant"_a,
          "class_of"_a, "area"_a, "out"_a, "is_bf16"_a);
    m.def("unit_coded_sums", &coded_sums_at, "rows"_a, "channels"_a, "threads"_a, "g"_a, "is_bf16"_a, "sums"_a, "epilogue"_a, "window"_a,
          "shift"_a, "class_of"_a, "area"_a, "total"_a);
    m.def("unit_coded_input", &coded_input_at, "rows"_a, "channels"_a, "threads"_a, "g"_a, "is_bf16"_a, "sums"_a, "epilogue"_a, "window"_a,
          "by_g"_a, "by_sum"_a, "constant"_a, "class_of"_a, "area"_a, "out"_a);
    m.def("unit_window", &window_at, "rows"_a, "channels"_a, "threads"_a, "g"_a, "is_bf16"_a, "x"_a, "window"_a, "skip"_a, "out"_a);
    m.def("unit_code_weights", &code_weights_at, "out_channels"_a, "k"_a, "threads"_a, "weight"_a, "range"_a, "bits"_a, "integer"_a,
          "wide"_a, "scale"_a);
    m.def("unit_divide_rows", &divide_rows_at, "out_channels"_a, "k"_a, "threads"_a, "g"_a, "is_bf16"_a, "scale"_a, "out"_a);
    m.def("unit_checksum", &checksum_at, "n"_a, "words"_a, "seed"_a);
    m.def("unit_fold_batch", &fold_batch_at, "unit"_a, "norm"_a, "total"_a, "count"_a, "momentum"_a, "multiplier"_a, "offset"_a, "saved"_a);
    m.def("unit_fold_running", &fold_running_at, "unit"_a, "norm"_a, "multiplier"_a, "offset"_a, "saved"_a);
    m.def("unit_norm_gradient_batch", &norm_gradient_batch_at, "unit"_a, "norm"_a, "saved"_a, "total"_a, "count"_a, "coefficients"_a,
          "gradients"_a);
    m.def("unit_norm_gradient_running", &norm_gradient_running_at, "unit"_a, "norm"_a, "saved"_a, "total"_a, "coefficients"_a,
          "gradients"_a);
}

}  // namespace qz::training
