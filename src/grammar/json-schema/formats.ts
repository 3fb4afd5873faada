/**
 * Formats of strings as regular expressions. Where a format allows forms that are seldom wanted, these have the usual ones alone:
 * whatever they match is of the format.
 */
const date =
  "[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))";
const time = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
const label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,20}[A-Za-z0-9])?";
const hostname = `${label}(?:\\.${label}){0,4}`;
const byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const uri = `[a-z][a-z0-9+.-]{0,10}://${hostname}(?::[0-9]{1,4})?(?:/[A-Za-z0-9_~.-]{0,60}){0,8}(?:\\?[A-Za-z0-9_~=&.-]{0,100})?`;

export const formats: Readonly<Record<string, string>> = {
  date: `^${date}$`,
  time: `^${time}$`,
  "date-time": `^${date}T${time}$`,
  duration:
    "^P(?:[0-9]{1,4}W|[0-9]{1,4}D|[0-9]{1,4}DT[0-9]{1,4}H|T[0-9]{1,4}(?:H(?:[0-9]{1,4}M)?|M(?:[0-9]{1,4}S)?|S))$",
  email: `^[A-Za-z0-9_+-]{1,40}(?:\\.[A-Za-z0-9_+-]{1,20}){0,2}@${label}(?:\\.${label}){1,3}$`,
  hostname: `^${hostname}$`,
  ipv4: `^${byte}(?:\\.${byte}){3}$`,
  ipv6: "^(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}$",
  uri: `^${uri}$`,
  uuid: "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
};
