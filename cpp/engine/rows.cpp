#include <string>

#include "cpu.hpp"
#include "engine/fault.hpp"
#include "engine/kernel.hpp"

namespace qz::engine {

#define QZ_KERNEL(name, operation, operands, set, condition) extern const Kernel name;
#include "kernels/rows.inc"
#undef QZ_KERNEL

namespace {

namespace cpu {
bool always() noexcept { return true; }
}  // namespace cpu

}  // namespace

const std::vector<Row>& rows() {
#define QZ_KERNEL(name, operation, operands, set, condition) Row{#name, #operation, #operands, #set, &condition, &name},
    static const std::vector<Row> all{
#include "kernels/rows.inc"
    };
#undef QZ_KERNEL
    return all;
}

const Row& row_named(const std::string& name) {
    for (const Row& row : rows())
        if (name == row.name) {
            if (!row.is_supported()) throw Fault("kernel '" + name + "': this CPU cannot run it");
            return row;
        }
    throw Fault("kernel '" + name + "': there is none of this name");
}

}  // namespace qz::engine
