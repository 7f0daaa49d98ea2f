#include "engine/arguments.hpp"

#include <map>

#include "engine/fault.hpp"

namespace qz::engine {
namespace {

Epilogue epilogue(const Fields& f) {
    return {.channels = f.size("channels"),
            .area = f.size("area"),
            .multiplier = f.place_or_none("multiplier"),
            .offset = f.place_or_none("offset"),
            .class_of = f.place_or_none("class_of"),
            .residual = f.place_or_none("residual"),
            .function = static_cast<Function>(f.size("function")),
            .low = f.number("low", 0),
            .high = f.number("high", 0),
            .values = f.place_or_none("values"),
            .codes = f.place_or_none("codes"),
            .inverse = f.number("inverse", 0),
            .zero = f.number("zero", 0),
            .top = f.number("top", 0)};
}

Arguments conv(const Fields& f) {
    return Conv{.height = f.size("height"),
                .width = f.size("width"),
                .out_height = f.size("out_height"),
                .out_width = f.size("out_width"),
                .in_channels = f.size("in_channels"),
                .out_channels = f.size("channels"),
                .groups = f.size("groups"),
                .kernel_height = f.size("kernel_height"),
                .kernel_width = f.size("kernel_width"),
                .stride_height = f.size("stride_height"),
                .stride_width = f.size("stride_width"),
                .dilation_height = f.size("dilation_height"),
                .dilation_width = f.size("dilation_width"),
                .top = f.size("pad_top"),
                .left = f.size("pad_left"),
                .source = f.place("source"),
                .weight = f.place("weight"),
                .epilogue = epilogue(f)};
}

Arguments pointwise(const Fields& f) { return Pointwise{.source = f.place("source"), .epilogue = epilogue(f)}; }

Arguments binary(const Fields& f) {
    return Binary{.op = static_cast<Operator>(f.size("operator")),
                  .sizes = f.list("sizes"),
                  .left_strides = f.list("left_strides"),
                  .right_strides = f.list("right_strides"),
                  .target_strides = f.list("target_strides"),
                  .left = f.place("left"),
                  .right = f.place("right"),
                  .target = f.place("target")};
}

Arguments copy(const Fields& f) {
    return Copy{.element_bytes = f.size("element_bytes"),
                .sizes = f.list("sizes"),
                .source_strides = f.list("source_strides"),
                .target_strides = f.list("target_strides"),
                .source = f.place("source"),
                .target = f.place("target")};
}

Arguments fill(const Fields& f) { return Fill{.value = f.number("value", 0), .target = f.place("target")}; }

Arguments table(const Fields& f) {
    return Table{.channels = f.size("channels"),
                 .source = f.place("source"),
                 .table = f.place("table"),
                 .values = f.place_or_none("values"),
                 .codes = f.place_or_none("codes")};
}

Arguments pool(const Fields& f) {
    return Pool{.height = f.size("height"),
                .width = f.size("width"),
                .out_height = f.size("out_height"),
                .out_width = f.size("out_width"),
                .channels = f.size("channels"),
                .source = f.place("source"),
                .target = f.place("target"),
                .row_windows = f.place("row_windows"),
                .column_windows = f.place("column_windows")};
}

Arguments layer_norm(const Fields& f) {
    return LayerNorm{.n = f.size("n"),
                     .epsilon = f.number("epsilon", 0),
                     .source = f.place("source"),
                     .target = f.place("target"),
                     .weight = f.place_or_none("weight"),
                     .bias = f.place_or_none("bias")};
}

Arguments softmax(const Fields& f) {
    return Softmax{.n = f.size("n"), .inner = f.size("inner"), .source = f.place("source"), .target = f.place("target")};
}

const std::map<std::string, Arguments (*)(const Fields&)> READERS{
    {"conv", conv},   {"pointwise", pointwise}, {"binary", binary},     {"copy", copy},
    {"fill", fill},   {"table", table},         {"max_pool", pool},     {"mean_pool", pool},
    {"layer_norm", layer_norm}, {"softmax", softmax},
};

}  // namespace

Arguments arguments_of(const std::string& operation, const Fields& fields) {
    const auto found = READERS.find(operation);
    if (found == READERS.end()) throw Fault("operation '" + operation + "' is none of the engine's");
    return found->second(fields);
}

}  // namespace qz::engine
