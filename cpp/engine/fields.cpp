#include "engine/fields.hpp"

#include "engine/fault.hpp"

namespace qz::engine {

const std::vector<int64_t>& Fields::find(const std::string& name) const {
    const auto found = integers_.find(name);
    if (found == integers_.end()) throw Fault(step_ + ": the step has no field '" + name + "'");
    return found->second;
}

size_t Fields::size(const std::string& name) const {
    const auto& values = find(name);
    if (values.size() != 1 || values[0] < 0) throw Fault(step_ + ": field '" + name + "' must be one size");
    return static_cast<size_t>(values[0]);
}

std::vector<ptrdiff_t> Fields::list(const std::string& name) const {
    const auto& values = find(name);
    return {values.begin(), values.end()};
}

float Fields::number(const std::string& name, float otherwise) const {
    const auto found = numbers_.find(name);
    return found == numbers_.end() ? otherwise : found->second;
}

Place Fields::place(const std::string& name) const {
    const auto& values = find(name);
    if (values.size() != 2 || values[0] < 0 || values[0] > 3) throw Fault(step_ + ": field '" + name + "' must be a place");
    return {static_cast<Space>(values[0]), static_cast<size_t>(values[1])};
}

Place Fields::place_or_none(const std::string& name) const { return integers_.count(name) ? place(name) : Place{}; }

}  // namespace qz::engine
