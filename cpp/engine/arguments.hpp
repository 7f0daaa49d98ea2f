// What each operation of the engine needs to know, one struct an operation. Sizes in elements; tensors are dense in memory and
// channels last where a struct names channels: [batch][height][width][channels].
#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "engine/fields.hpp"
#include "engine/frame.hpp"

namespace qz::engine {

// In the order of FUNCTIONS in src/quantizable/engine/steps.py; clip is min(max(y, low), high).
enum class Function { none, clip, relu, hardsigmoid, hardswish, sigmoid, silu, gelu, gelu_tanh, tanh };

// y = float32(A) multiplier[channel] + offset[class][channel]; y + residual; function(y); then values, codes, or both.
// Every operation rounds to float32 on its own. Codes: clip(rint(y inverse + zero), 0, top), NaN gets 0.
struct Epilogue {
    size_t channels;
    size_t area;       // outputs of one image, the length of class_of
    Place multiplier;  // float [channels]; none: y is the sum itself
    Place offset;      // float [classes][channels]
    Place class_of;    // int32 [area]; none: one class
    Place residual;    // float [rows][channels], or none
    Function function;
    float low, high;   // of clip
    Place values;      // float [rows][channels], or none
    Place codes;       // uint8 [rows][channels], or none
    float inverse, zero, top;
};

// Items: output rows of all images. A linear layer is a convolution of 1 x 1 over images of 1 x 1.
// Scratch: out_width * out_channels sums of 8 bytes, then out_channels floats.
struct Conv {
    size_t height, width, out_height, out_width, in_channels, out_channels, groups;
    size_t kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width;
    size_t top, left;  // padded positions before the image; they are no taps
    Place source;      // [batch][height][width][in_channels]
    Place weight;      // as the kernel's own pack lays it out
    Epilogue epilogue;
};

// An epilogue alone over float32 values. Items: rows. Scratch: channels floats.
struct Pointwise {
    Place source;
    Epilogue epilogue;
};

enum class Operator { add, mul, div };

// target = left (operator) right, over a nest of loops with a stride per loop and operand; 0 broadcasts. Items: runs of the last loop.
struct Binary {
    Operator op;
    std::vector<ptrdiff_t> sizes, left_strides, right_strides, target_strides;
    Place left, right, target;
};

// Elements of 1 or 4 bytes moved. Items: runs of the last loop.
struct Copy {
    size_t element_bytes;
    std::vector<ptrdiff_t> sizes, source_strides, target_strides;
    Place source, target;
};

// `value` everywhere. Items: floats.
struct Fill {
    float value;
    Place target;
};

// Bytes of images looked up, one table of 256 a channel. Items: pixels. Exactly one of values and codes is there.
struct Table {
    size_t channels;
    Place source, table, values, codes;
};

// Windows are int32 [outputs][4] an axis: first, last + 1, step, divisor. Items: output rows of all images.
struct Pool {
    size_t height, width, out_height, out_width, channels;
    Place source, target, row_windows, column_windows;
};

// Items: rows of n values.
struct LayerNorm {
    size_t n;
    float epsilon;
    Place source, target, weight, bias;  // weight, bias: float [n], or none
};

// Over n values that lie `inner` apart. Items: all other positions, [outer][inner].
struct Softmax {
    size_t n, inner;
    Place source, target;
};

using Arguments = std::variant<Conv, Pointwise, Binary, Copy, Fill, Table, Pool, LayerNorm, Softmax>;

// Returns the arguments of an operation; Fault for an operation that is none, or a field that is missing.
Arguments arguments_of(const std::string& operation, const Fields& fields);

}  // namespace qz::engine
