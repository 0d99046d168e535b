/*
 * Times: UTC text with six decimals and Z, compared as text, moved by whole seconds.
 */

const FORM = /^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.([0-9]{6})Z$/;
const MONTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const END = 253_402_300_800; // seconds to the year 10000
const BEGINNING = -62_135_596_800; // seconds to the year 1

export const DAY_ONE = "1970-01-01T00:00:00.000000Z"; // what cosignatures count seconds from

/** Whether year, month, day, hour, minute and second are of a moment that exists. */
export function isMoment(year, month, day, hour, minute, second) {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = month === 2 && leap ? 29 : (MONTHS[month - 1] ?? 0);
  const good = year >= 1 && day >= 1 && day <= days;
  return good && hour < 24 && minute < 60 && second < 60;
}

/** Whether `value` is a time of a moment that exists. */
export function isTime(value) {
  const found = typeof value === "string" ? FORM.exec(value) : null;
  return found !== null && isMoment(...found.slice(1, 7).map(Number));
}

/** A time so many seconds later; "" (the beginning) where there is no such time. */
export function moved(time, seconds) {
  if (!isTime(time)) {
    return "";
  }
  const moment = new Date(`${time.slice(0, 19)}Z`).getTime() / 1000 + seconds;
  if (moment < BEGINNING || moment >= END) {
    return "";
  }
  return `${new Date(moment * 1000).toISOString().slice(0, 19)}${time.slice(19)}`;
}
