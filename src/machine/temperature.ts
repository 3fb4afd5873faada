import { readdirSync } from "node:fs";
import { join } from "node:path";
import { readSystemFile } from "./control-groups.ts";

/** A sensor of the computer's. */
export interface Temperature {
  readonly sensor: string;
  readonly celsius: number;
}

/** Temperatures that Linux tells; none where it tells none, as in most containers, or on other systems. `root` stands for "/". */
export function readTemperatures(root = "/"): readonly Temperature[] {
  const monitors = join(root, "sys/class/hwmon");
  const found = list(monitors).flatMap((monitor) => {
    const folder = join(monitors, monitor);
    const chip = readName(join(folder, "name")) ?? monitor;
    return list(folder).flatMap((file) => {
      const [, number] = /^temp(\d+)_input$/.exec(file) ?? [];
      if (number === undefined) return [];
      const label = readName(join(folder, `temp${number}_label`)) ?? number;
      return reading(`${chip} ${label}`, join(folder, file));
    });
  });
  if (found.length > 0) return found;
  const zones = join(root, "sys/class/thermal");
  return list(zones)
    .filter((zone) => zone.startsWith("thermal_zone"))
    .flatMap((zone) => reading(readName(join(zones, zone, "type")) ?? zone, join(zones, zone, "temp")));
}

/** In thousandths of a degree. */
function reading(sensor: string, file: string): Temperature[] {
  const value = Number(readName(file) || Number.NaN) / 1000;
  // A sensor that is not connected says what cannot be.
  return value > -50 && value < 200 ? [{ sensor, celsius: value }] : [];
}

const readName = (file: string) => readSystemFile(file)?.trim();

function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
