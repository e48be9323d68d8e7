// Numbers and times as people read them.

/**
 * Format a share as a percentage: 0.0505 is "5.1 %", 0.9996 is "99.96 %". Only exact shares of 0
 * and 1 are shown as 0 and 100.
 */
export function percent(share) {
  const value = share * 100;
  for (const digits of [1, 2, 3]) {
    const text = value.toFixed(digits);
    const rounded = Number(text);
    if ((rounded < 100 && rounded > 0) || value === 100 || value === 0) return `${value === 100 || value === 0 ? value : text} %`;
  }
  return value > 50 ? "> 99.999 %" : "< 0.001 %";
}

const DIGITS = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, useGrouping: false });

/** Format a number with three significant digits: "0.0000231", "−4.9". */
export const number = (value) => DIGITS.format(value).replace("-", "−");

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

export const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** Format a time: "07:43" if it is of today, else with the date before. */
export function when(at) {
  const date = new Date(at);
  return date.toDateString() === new Date().toDateString() ? TIME.format(date) : DATE.format(date);
}

export const exactly = (at) => DATE.format(new Date(at));

export const clock = (at) => TIME.format(new Date(at));
