// Starts the parts of the page.

import { startAlarms } from "./alarms.js";
import { startJudge } from "./judge.js";
import { startKey } from "./key.js";
import { startReview } from "./review.js";
import { startStores } from "./stores.js";

const NOTED_AFTER_MS = 400; // what was judged shows in the rate and in the queue a moment later

let refresh = () => {};

startKey();
startJudge(() => setTimeout(() => refresh(), NOTED_AFTER_MS));
await startStores(); // what follows asks about the store that is chosen
const parts = [startAlarms(), startReview()];
refresh = () => parts.forEach((part) => part());
