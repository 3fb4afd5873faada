import { describe, expect, it } from "vitest";
import { parseNvidiaSmi, parseRocmSmi, parseSystemProfiler, parseVulkanInfo } from "./gpus.ts";

describe("what tools say of graphics processors", () => {
  it("nvidia-smi", () => {
    expect(parseNvidiaSmi("NVIDIA GeForce RTX 4090, 24564\nNVIDIA A100-SXM4-80GB, 81920\n")).toEqual([
      { name: "NVIDIA GeForce RTX 4090", memoryBytes: 24564 * 2 ** 20, unified: false, interface: "cuda" },
      { name: "NVIDIA A100-SXM4-80GB", memoryBytes: 81920 * 2 ** 20, unified: false, interface: "cuda" },
    ]);
    expect(parseNvidiaSmi("NVIDIA GB10, [N/A]\n")).toMatchObject([{ memoryBytes: undefined, unified: true }]);
    expect(parseNvidiaSmi("No devices were found\n")).toEqual([]);
  });

  it("rocm-smi", () => {
    const text = `{"card0": {"Card Series": "Radeon RX 7900 XTX", "VRAM Total Memory (B)": "25753026560", "VRAM Total Used Memory (B)": "1"},
      "card1": {"Card series": "Instinct MI210", "VRAM Total Memory (B)": "68702699520"}, "system": {"Driver version": "6"}}`;
    expect(parseRocmSmi(text)).toEqual([
      { name: "Radeon RX 7900 XTX", memoryBytes: 25_753_026_560, unified: false, interface: "rocm" },
      { name: "Instinct MI210", memoryBytes: 68_702_699_520, unified: false, interface: "rocm" },
    ]);
    for (const none of ["", "WARNING: no card", "[]", "null", '{"card0": null}'])
      expect(parseRocmSmi(none)).toEqual([]);
  });

  it("system_profiler", () => {
    const text =
      '{"SPDisplaysDataType": [{"sppci_model": "Apple M2 Ultra", "sppci_cores": "76"}, {"sppci_model": "AMD Radeon Pro 5500M", "spdisplays_vram": "8 GB"}, 3]}';
    expect(parseSystemProfiler(text)).toEqual([
      { name: "Apple M2 Ultra", memoryBytes: undefined, unified: true, interface: "metal" },
      { name: "AMD Radeon Pro 5500M", memoryBytes: 8 * 2 ** 30, unified: false, interface: "metal" },
    ]);
    expect(parseSystemProfiler("{}")).toEqual([]);
  });

  it("vulkaninfo", () => {
    const text = `Devices:\n========\nGPU0:\n\tapiVersion         = 1.3.255\n\tdeviceType         = PHYSICAL_DEVICE_TYPE_DISCRETE_GPU
	deviceName         = AMD Radeon RX 6800 (RADV NAVI21)\nGPU1:\n\tdeviceType         = PHYSICAL_DEVICE_TYPE_CPU
	deviceName         = llvmpipe (LLVM 15.0.7, 256 bits)\nGPU2:\n\tdeviceType = PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU\n\tdeviceName = Intel Arc\n`;
    expect(parseVulkanInfo(text)).toMatchObject([
      { name: "AMD Radeon RX 6800 (RADV NAVI21)", unified: false },
      { name: "Intel Arc", unified: true },
    ]);
    expect(parseVulkanInfo("")).toEqual([]);
  });
});
