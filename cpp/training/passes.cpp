#include "training/passes.hpp"

#include <algorithm>
#include <cstring>

#include "cpu.hpp"

namespace qz::training {
namespace {

constexpr size_t CHUNK_VALUES = 65536;  // float32: 256 KiB, within the second-level cache

size_t chunk_rows(size_t channels) { return std::max<size_t>(1, CHUNK_VALUES / channels); }

// Calls body(chunk, first row, rows) for every chunk.
template <class Body>
void for_chunks(Rows rows, const Body& body) {
    const size_t step = chunk_rows(rows.channels);
    const auto n_chunks = static_cast<ptrdiff_t>((rows.count + step - 1) / step);
#pragma omp parallel for num_threads(rows.threads) schedule(static) if (rows.threads > 1 && n_chunks > 1)
    for (ptrdiff_t chunk = 0; chunk < n_chunks; chunk++) {
        const size_t first = static_cast<size_t>(chunk) * step;
        body(static_cast<size_t>(chunk), first, std::min(step, rows.count - first));
    }
}

size_t n_chunks_of(Rows rows) { return (rows.count + chunk_rows(rows.channels) - 1) / chunk_rows(rows.channels); }

// Adds `width` numbers a chunk, in the order of the chunks.
template <class Body>
void add_chunks(Rows rows, size_t width, double* total, const Body& body) {
    std::vector<double> part(n_chunks_of(rows) * width, 0.0);
    for_chunks(rows, [&](size_t chunk, size_t first, size_t count) { body(first, count, part.data() + chunk * width); });
    std::fill(total, total + width, 0.0);
    for (size_t i = 0; i < part.size(); i++) total[i % width] += part[i];
}

// The sums over the kernel's columns of one output row, from the sums over its rows.
void horizontal_sums(const Geometry& g, size_t groups, const int32_t* column_sums, int32_t* out) {
    std::fill(out, out + g.out_width * groups, 0);
    for (size_t tap = 0; tap < g.kernel[1]; tap++)
        for (size_t x = 0; x < g.out_width; x++) {
            const size_t from = x * g.stride[1] + tap * g.dilation[1];  // in the padded row
            for (size_t k = 0; k < groups; k++) out[x * groups + k] += column_sums[from * groups + k];
        }
}

void image_window_sums(const KernelSet& set, const Geometry& g, size_t channels, size_t groups, const uint8_t* q, int32_t* out) {
    const size_t width = g.in_width * groups;
    std::vector<int32_t> row_sums(g.in_height * width), padded((g.in_width + 2 * g.padding[1]) * groups);
    set.codes.group_sums(g.in_height * g.in_width, channels, groups, q, row_sums.data());
    for (size_t y = 0; y < g.out_height; y++) {
        std::fill(padded.begin(), padded.end(), 0);
        int32_t* inner = padded.data() + g.padding[1] * groups;
        for (size_t tap = 0; tap < g.kernel[0]; tap++) {
            const size_t from = y * g.stride[0] + tap * g.dilation[0];  // in the padded column
            if (from < g.padding[0] || from >= g.padding[0] + g.in_height) continue;
            const int32_t* row = row_sums.data() + (from - g.padding[0]) * width;
            for (size_t i = 0; i < width; i++) inner[i] += row[i];
        }
        horizontal_sums(g, groups, padded.data(), out + y * g.out_width * groups);
    }
}

}  // namespace

const std::vector<KernelSet>& kernel_sets() {
    static const std::vector<KernelSet> sets = [] {
        std::vector<KernelSet> found;
#ifdef QZ_X86
        const CpuFeatures& cpu = cpu_features();
        if (cpu.avx512f && cpu.avx512bw && cpu.avx512vl)
            found.push_back({"avx512", codes_avx512, sums_avx512, gradients_avx512, weights_avx512});
#endif
        found.push_back({"generic", codes_generic, sums_generic, gradients_generic, weights_generic});
        return found;
    }();
    return sets;
}

bool quantize(const KernelSet& set, Rows rows, const float* x, float inverse, float zero, float top, uint8_t* q) {
    double bad = 0;
    add_chunks(rows, 1, &bad, [&](size_t first, size_t count, double* part) {
        const size_t at = first * rows.channels;
        *part = set.codes.quantize(count * rows.channels, x + at, inverse, zero, top, q + at) ? 0 : 1;
    });
    return bad == 0;
}

bool relu_quantize(const KernelSet& set, Rows rows, const float* x, float inverse, float zero, float top, float* r, uint8_t* q) {
    double bad = 0;
    add_chunks(rows, 1, &bad, [&](size_t first, size_t count, double* part) {
        const size_t at = first * rows.channels;
        *part = set.codes.relu_quantize(count * rows.channels, x + at, inverse, zero, top, r + at, q + at) ? 0 : 1;
    });
    return bad == 0;
}

void widen(const KernelSet& set, Rows rows, const uint8_t* q, float zero, void* out, bool is_bf16) {
    for_chunks(rows, [&](size_t, size_t first, size_t count) {
        const size_t at = first * rows.channels, n = count * rows.channels;
        if (is_bf16)
            set.codes.widen_bf16(n, q + at, zero, static_cast<bf16*>(out) + at);
        else
            set.codes.widen_f32(n, q + at, zero, static_cast<float*>(out) + at);
    });
}

void window_sums(const KernelSet& set, const Geometry& g, size_t channels, size_t groups, int threads, const uint8_t* q, int32_t* out) {
    const size_t in_size = g.in_height * g.in_width * channels, out_size = g.out_height * g.out_width * groups;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (ptrdiff_t n = 0; n < static_cast<ptrdiff_t>(g.images); n++) {
        const auto image = static_cast<size_t>(n);
        image_window_sums(set, g, channels, groups, q + image * in_size, out + image * out_size);
    }
}

float add_window_sums(const KernelSet& set, Rows rows, size_t groups, const int32_t* window, float* sums) {
    std::vector<float> part(n_chunks_of(rows), 0.0f);
    for_chunks(rows, [&](size_t chunk, size_t first, size_t count) {
        part[chunk] = set.sums.add_window_sums(count, rows.channels, groups, window + first * groups, sums + first * rows.channels);
    });
    return part.empty() ? 0.0f : *std::max_element(part.begin(), part.end());
}

void statistics(const KernelSet& set, Rows rows, const float* sums, const float* shift, Borders borders, double* total) {
    add_chunks(rows, 2 * rows.channels, total, [&](size_t first, size_t count, double* part) {
        set.sums.statistics(first, count, rows.channels, sums + first * rows.channels, shift, borders, part);
    });
}

void epilogue(const KernelSet& set, Rows rows, const float* sums, Epilogue epilogue, Borders borders, float* y) {
    const auto [multiplier, offset] = epilogue;
    for_chunks(rows, [&, multiplier = multiplier, offset = offset](size_t, size_t first, size_t count) {
        const size_t at = first * rows.channels;
        set.sums.epilogue(first, count, rows.channels, sums + at, multiplier, offset, borders, y + at);
    });
}

bool epilogue_codes(const KernelSet& set, Rows rows, const float* sums, Epilogue epilogue, Borders borders, float inverse, float zero,
                    float top, float* y, uint8_t* q) {
    double bad = 0;
    add_chunks(rows, 1, &bad, [&](size_t first, size_t count, double* part) {
        const size_t at = first * rows.channels;
        const bool are_numbers = set.sums.epilogue_codes(first, count, rows.channels, sums + at, epilogue.multiplier, epilogue.offset, borders,
                                                         inverse, zero, top, y + at, q + at);
        *part = are_numbers ? 0 : 1;
    });
    return bad == 0;
}

void norm_sums(const KernelSet& set, Rows rows, const float* g, const float* sums, const float* shift, Borders borders, double* total) {
    add_chunks(rows, 2 * rows.channels, total, [&](size_t first, size_t count, double* part) {
        const size_t at = first * rows.channels;
        set.gradients.norm_sums(first, count, rows.channels, g + at, sums + at, shift, borders, part);
    });
}

void norm_input(const KernelSet& set, Rows rows, const float* g, const float* sums, const float* by_g, const float* by_sum,
                const float* constant, Borders borders, void* out, bool is_bf16) {
    const GradientKernels& kernels = set.gradients;
    for_chunks(rows, [&](size_t, size_t first, size_t count) {
        const size_t at = first * rows.channels, c = rows.channels;
        if (is_bf16)
            kernels.norm_input_bf16(first, count, c, g + at, sums + at, by_g, by_sum, constant, borders, static_cast<bf16*>(out) + at);
        else
            kernels.norm_input_f32(first, count, c, g + at, sums + at, by_g, by_sum, constant, borders, static_cast<float*>(out) + at);
    });
}

void coded_sums(const KernelSet& set, Rows rows, const void* g, bool is_bf16, const float* sums, Epilogue epilogue, Window window,
                const float* shift, Borders borders, double* total) {
    const size_t c = rows.channels;
    const WindowOfSums in_sums(c, epilogue, borders, window);
    add_chunks(rows, 2 * c, total, [&](size_t first, size_t count, double* part) {
        const size_t at = first * c;
        if (is_bf16)
            set.gradients.coded_sums_bf16(first, count, c, static_cast<const bf16*>(g) + at, sums + at, in_sums.view(), shift, borders, part);
        else
            set.gradients.coded_sums_f32(first, count, c, static_cast<const float*>(g) + at, sums + at, in_sums.view(), shift, borders, part);
    });
    for (size_t i = 0; i < c; i++) {
        total[i] *= in_sums.factor[i];
        total[c + i] *= in_sums.factor[i];
        const double m = epilogue.multiplier[i], offset = epilogue.offset[i] + (shift ? m * shift[i] : 0.0);  // y = A' m + offset
        total[2 * c + i] = m * total[c + i] + offset * total[i];
    }
}

void coded_input(const KernelSet& set, Rows rows, const void* g, bool is_bf16, const float* sums, Epilogue epilogue, Window window,
                 const float* by_g, const float* by_sum, const float* constant, Borders borders, void* out) {
    const size_t c = rows.channels;
    const WindowOfSums in_sums(c, epilogue, borders, window);
    std::vector<float> with_factor(c);
    for (size_t i = 0; i < c; i++) with_factor[i] = static_cast<float>(static_cast<double>(by_g[i]) * in_sums.factor[i]);
    const float* of_g = with_factor.data();
    for_chunks(rows, [&](size_t, size_t first, size_t count) {
        const size_t at = first * c;
        if (is_bf16)
            set.gradients.coded_input_bf16(first, count, c, static_cast<const bf16*>(g) + at, sums + at, in_sums.view(), of_g, by_sum,
                                           constant, borders, static_cast<bf16*>(out) + at);
        else
            set.gradients.coded_input_f32(first, count, c, static_cast<const float*>(g) + at, sums + at, in_sums.view(), of_g, by_sum,
                                          constant, borders, static_cast<float*>(out) + at);
    });
}

double through_window(const KernelSet& set, Rows rows, const void* g, bool is_bf16, const float* x, Window window, const float* skip,
                      float* out) {
    const size_t c = rows.channels;
    double lane[16];
    add_chunks(rows, 16, lane, [&](size_t first, size_t count, double* part) {
        const size_t at = first * c, n = window.peak ? count : 1, width = window.peak ? c : count * c;  // the box knows no channels
        const float* beside = skip ? skip + at : nullptr;
        if (is_bf16)
            set.gradients.window_bf16(n, width, static_cast<const bf16*>(g) + at, x + at, window, beside, out + at, part);
        else
            set.gradients.window_f32(n, width, static_cast<const float*>(g) + at, x + at, window, beside, out + at, part);
    });
    double sum = 0;
    for (double part : lane) sum += part;
    return sum;
}

void code_weights(const KernelSet& set, size_t out_channels, size_t k, int threads, const float* weight, const float* range,
                  const CodedWeights& coded) {
    const size_t n_bits = coded.bits.size();
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (ptrdiff_t o = 0; o < static_cast<ptrdiff_t>(out_channels); o++) {
        const auto channel = static_cast<size_t>(o);
        CodedRow rows[8];
        for (size_t j = 0; j < n_bits; j++) {
            const size_t row = j * out_channels + channel;
            rows[j] = {coded.bits[j], coded.integer + row * k, coded.wide + row * k, coded.scale + row};
        }
        set.weights.code_row(k, weight + channel * k, range[channel], n_bits, rows);
    }
}

void divide_rows(const KernelSet& set, size_t out_channels, size_t k, int threads, const void* g, bool is_bf16, const float* scale, float* out) {
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (ptrdiff_t o = 0; o < static_cast<ptrdiff_t>(out_channels); o++) {
        const size_t at = static_cast<size_t>(o) * k;
        if (is_bf16)
            set.weights.divide_bf16(k, static_cast<const bf16*>(g) + at, scale[o], out + at);
        else
            set.weights.divide_f32(k, static_cast<const float*>(g) + at, scale[o], out + at);
    }
}

uint64_t checksum(size_t n, const uint32_t* words, uint64_t seed) noexcept {
    constexpr size_t LANES = 32;
    uint32_t sum[LANES] = {}, sum_of_sums[LANES] = {};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++) {
            sum[lane] += words[i + lane];
            sum_of_sums[lane] += sum[lane];
        }
    uint64_t mixed = seed ^ n;
    const auto mix = [&mixed](uint64_t word) { mixed = (mixed ^ word) * 0x9e3779b97f4a7c15ull + (mixed >> 29); };
    for (; i < n; i++) mix(words[i]);
    for (size_t lane = 0; lane < LANES; lane++) mix((static_cast<uint64_t>(sum_of_sums[lane]) << 32) | sum[lane]);
    return mixed;
}

}  // namespace qz::training
