/*
 * Where everything starts: the same script is the page's and the worker's.
 */

import { start } from "./page.mjs";
import { service } from "./worker.mjs";

if (typeof document === "undefined") {
  const answer = service((message) => postMessage(message));
  self.onmessage = (event) => answer(event.data);
} else {
  start(document.currentScript.textContent);
}
