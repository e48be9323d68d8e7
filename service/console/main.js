// Start of the parts of the page.

import { startAlarms } from "./alarms.js";
import { startJudge } from "./judge.js";
import { startKey } from "./key.js";
import { startReview } from "./review.js";
import { startStores } from "./stores.js";

const NOTED_AFTER_MS = 400; // delay until a judged image shows in the alarm rate and in the queue

let refresh = () => {};

startKey();
startJudge(() => setTimeout(() => refresh(), NOTED_AFTER_MS));
await startStores(); // first, since the other parts ask about the chosen store
const parts = [startAlarms(), startReview()];
refresh = () => parts.forEach((part) => part());
