// The engine as Python sees it: the list of kernels, the packing of weights, and programs; no arithmetic here.
// src/quantizable/engine is the only caller: it plans what lies where, and keeps what the places of a program point to.
#include "engine/bindings.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>

#include "engine/fault.hpp"
#include "engine/program.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace qz::engine {
namespace {

using Address = uintptr_t;
using RowTuple = std::tuple<std::string, std::string, std::string, std::string, bool>;
using Shape = std::tuple<size_t, size_t, size_t, size_t, size_t>;

std::vector<RowTuple> kernel_rows() {
    std::vector<RowTuple> found;
    for (const Row& row : rows()) found.emplace_back(row.name, row.operation, row.operands, row.set, row.is_supported());
    return found;
}

WeightShape weight_shape(const Shape& shape) {
    const auto [out_channels, in_per_group, kernel_height, kernel_width, groups] = shape;
    return {out_channels, in_per_group, kernel_height, kernel_width, groups};
}

const Kernel& packing_kernel(const std::string& name) {
    const Kernel& kernel = *row_named(name).kernel;
    if (!kernel.pack) throw Fault("kernel '" + name + "': takes no weights");
    return kernel;
}

size_t packed_bytes(const std::string& kernel, const Shape& shape) { return packing_kernel(kernel).packed_bytes(weight_shape(shape)); }

void pack(const std::string& kernel, const Shape& shape, Address weight, Address packed) {
    const Kernel& packing = packing_kernel(kernel);
    nb::gil_scoped_release released;
    packing.pack(weight_shape(shape), reinterpret_cast<const void*>(weight), reinterpret_cast<void*>(packed));
}

// An arena is aligned here: NumPy promises 16 bytes only, so whoever makes one adds ALIGNMENT.
void run(Program& program, nb::ndarray<uint8_t, nb::c_contig, nb::device::cpu> arena, nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu> input,
         nb::ndarray<float, nb::c_contig, nb::device::cpu> output) {
    const Address start = (reinterpret_cast<Address>(arena.data()) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    const Frame frame{reinterpret_cast<std::byte*>(start), static_cast<const std::byte*>(input.data()),
                      reinterpret_cast<std::byte*>(output.data())};
    nb::gil_scoped_release released;
    program.run(frame);
}

}  // namespace

void bind(nb::module_& m) {
    nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
        try {
            std::rethrow_exception(thrown);
        } catch (const Fault& fault) {
            PyErr_SetString(nb::module_::import_("quantizable.errors").attr("EngineError").ptr(), fault.what());
        }
    });
    m.def("engine_kernels", &kernel_rows,
          "Return (name, operation, operands, set, whether this CPU runs it) of every kernel, the fastest set first.");
    m.def("engine_packed_bytes", &packed_bytes, "kernel"_a, "shape"_a,
          "Return the size of a layer's weights as a kernel wants them; shape: out, in / groups, kernel height, width, groups.");
    m.def("engine_pack", &pack, "kernel"_a, "shape"_a, "weight"_a, "packed"_a,
          "Lay out the weights at one address for a kernel at another; int16 for u8 kernels, else float32.");
    nb::class_<Program>(m, "EngineProgram", "Steps that run one after another.")
        .def(nb::init<size_t, size_t, size_t>(), "threads"_a, "scratch"_a, "scratch_bytes"_a)
        .def("add", &Program::add, "kernel"_a, "items"_a, "integers"_a, "numbers"_a, "Append a step.")
        .def("run", &run, "arena"_a, "input"_a, "output"_a,
             nb::sig("def run(self, arena: numpy.typing.NDArray[numpy.uint8], input: numpy.typing.NDArray[numpy.generic], "
                     "output: numpy.typing.NDArray[numpy.float32]) -> None"),
             "Run all steps without the interpreter lock.")
        .def("last_ns", &Program::last_ns, "Return the time of each step in the last run, in nanoseconds.");
}

}  // namespace qz::engine
