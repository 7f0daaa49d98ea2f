// The Python face of the compiled part: quantizable._native. One function a kernel row; no arithmetic here.
#include <nanobind/nanobind.h>

#include "cpu.hpp"
#include "engine/bindings.hpp"
#include "training/bindings.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

nb::typed<nb::dict, nb::str, bool> cpu_features() {
    const qz::CpuFeatures& f = qz::cpu_features();
    nb::typed<nb::dict, nb::str, bool> found;
    found["sse4_2"] = f.sse4_2;
    found["avx2"] = f.avx2;
    found["fma"] = f.fma;
    found["avx512f"] = f.avx512f;
    found["avx512bw"] = f.avx512bw;
    found["avx512vl"] = f.avx512vl;
    found["avx512_vnni"] = f.avx512_vnni;
    found["avx512_vbmi"] = f.avx512_vbmi;
    found["avx512_vpopcntdq"] = f.avx512_vpopcntdq;
    found["avx512_bf16"] = f.avx512_bf16;
    found["amx_int8"] = f.amx_int8;
    found["amx_bf16"] = f.amx_bf16;
    found["neon"] = f.neon;
    return found;
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "The compiled part of quantizable.";
    m.def("cpu_features", &cpu_features,
          "Return which instruction sets the CPU has and the operating system saves; all False where nothing is known.");
    qz::training::bind(m);
    qz::engine::bind(m);
}
