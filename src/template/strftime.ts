const weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = [
  ...["January", "February", "March", "April", "May", "June"],
  ...["July", "August", "September", "October", "November", "December"],
];
const dayMs = 86_400_000;

/** A directive's number with the width and the sign that it is filled up with, a text, or a format of others. */
type Part = { readonly number: number; readonly width: number; readonly fill?: string } | string | { format: string };

function dayOfYear(date: Date): number {
  const day = Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  return Math.round((day - Date.UTC(date.getFullYear(), 0, 1)) / dayMs) + 1;
}

/** Year and week as ISO 8601 counts them: a week belongs to the year that has its Thursday. */
function isoWeek(date: Date): readonly [year: number, week: number] {
  const thursday = new Date(date.getFullYear(), date.getMonth(), date.getDate() + 3 - ((date.getDay() + 6) % 7));
  return [thursday.getFullYear(), Math.floor((dayOfYear(thursday) - 1) / 7) + 1];
}

function partOf(directive: string, date: Date): Part | undefined {
  const two = (number: number, fill = "0"): Part => ({ number, width: 2, fill });
  const hour12 = date.getHours() % 12 || 12;
  switch (directive) {
    case "a":
      return weekdays[date.getDay()]!.slice(0, 3);
    case "A":
      return weekdays[date.getDay()]!;
    case "b":
    case "h":
      return months[date.getMonth()]!.slice(0, 3);
    case "B":
      return months[date.getMonth()]!;
    case "c":
      return { format: "%a %b %e %H:%M:%S %Y" };
    case "C":
      return two(Math.floor(date.getFullYear() / 100));
    case "d":
      return two(date.getDate());
    case "D":
    case "x":
      return { format: "%m/%d/%y" };
    case "e":
      return two(date.getDate(), " ");
    case "f":
      return { number: date.getMilliseconds() * 1000, width: 6 };
    case "F":
      return { format: "%Y-%m-%d" };
    case "g":
      return two(isoWeek(date)[0] % 100);
    case "G":
      return { number: isoWeek(date)[0], width: 4 };
    case "H":
      return two(date.getHours());
    case "I":
      return two(hour12);
    case "j":
      return { number: dayOfYear(date), width: 3 };
    case "k":
      return two(date.getHours(), " ");
    case "l":
      return two(hour12, " ");
    case "m":
      return two(date.getMonth() + 1);
    case "M":
      return two(date.getMinutes());
    case "n":
      return "\n";
    case "p":
      return date.getHours() < 12 ? "AM" : "PM";
    case "P":
      return date.getHours() < 12 ? "am" : "pm";
    case "r":
      return { format: "%I:%M:%S %p" };
    case "R":
      return { format: "%H:%M" };
    case "s":
      return { number: Math.floor(date.getTime() / 1000), width: 1 };
    case "S":
      return two(date.getSeconds());
    case "t":
      return "\t";
    case "T":
    case "X":
      return { format: "%H:%M:%S" };
    case "u":
      return { number: date.getDay() || 7, width: 1 };
    case "U":
      return two(Math.floor((dayOfYear(date) + 6 - date.getDay()) / 7));
    case "V":
      return two(isoWeek(date)[1]);
    case "w":
      return { number: date.getDay(), width: 1 };
    case "W":
      return two(Math.floor((dayOfYear(date) + 6 - ((date.getDay() + 6) % 7)) / 7));
    case "y":
      return two(date.getFullYear() % 100);
    case "Y":
      return { number: date.getFullYear(), width: 1 };
    case "z":
    case "Z":
      // Python's `now()` has no time zone.
      return "";
    case "%":
      return "%";
    default:
      return undefined;
  }
}

/**
 * `strftime` of the C library with English names, in local time: also the flags `-` (not filled up), `_` (with spaces), `0`, `^`
 * (in capitals) and `#`. What is no directive stands as it is.
 */
export function strftime(format: string, date: Date): string {
  return format.replace(/%([-_0^#]?)([a-zA-Z%])/g, (whole, flag: string, directive: string) => {
    const part = partOf(directive, date);
    if (part === undefined) return whole;
    if (typeof part === "object" && "number" in part) {
      const fill = flag === "_" ? " " : flag === "0" ? "0" : (part.fill ?? "0");
      return flag === "-" ? String(part.number) : String(part.number).padStart(part.width, fill);
    }
    const text = typeof part === "string" ? part : strftime(part.format, date);
    if (flag === "#") return directive === "p" ? text.toLowerCase() : text.toUpperCase();
    return flag === "^" ? text.toUpperCase() : text;
  });
}
