// The operator's page: shows what the robot says, and passes on what the person wants.

import { Link } from "./link.js";
import { Drive } from "./drive.js";
import { Strip } from "./strip.js";
import { Pictures } from "./pictures.js";
import { showRecorder, showTrials } from "./panels.js";

const $ = (id) => document.getElementById(id);
const view = {};
let noticeUntil = 0;

const link = new Link({
  welcome: (words) => {
    drive.number = 0;
    $("link").classList.remove("bad");
    document.body.classList.add("linked");
    plan(words.plan || []);
    if (document.hidden) link.say({ t: "look", on: false });
  },
  view: (words) => { Object.assign(view, words); show(); },
  say: (words) => notice(words.text),
  held: (words) => notice(words.why),
  picture: (kind, number, blob) => pictures.take(kind, number, blob),
  silent: (age) => badLink(`nothing heard for ${age.toFixed(1)} s`),
  lost: (why) => {
    drive.release();
    badLink("no link");
    document.body.classList.remove("linked");
    $("words").textContent = why ? "Not connected" : "The link is lost";
    $("advice").textContent = why || "it is tried again; the robot stands";
    if (why) notice(why, 1e9);
    if (why.includes("another version") && !sessionStorage.getItem("reloaded")) {
      sessionStorage.setItem("reloaded", "1");
      location.reload();
    }
  },
});
const drive = new Drive(link, stop);
const strip = new Strip($("strip"));
const pictures = new Pictures(link);

function stop() {
  drive.release();
  if (!link.say({ t: "stop" })) notice("THERE IS NO LINK: use the robot's own stop", 1e9);
}

function notice(text, seconds = 4) {
  $("notice").textContent = text;
  $("notice").hidden = false;
  noticeUntil = performance.now() + seconds * 1000;
}

function badLink(text) {
  $("link").textContent = text;
  $("link").classList.add("bad");
}

function order(name, value = null) {
  link.order(name, value, (answer) => {
    if (answer.text) notice(answer.ok === false ? `Refused: ${answer.text}` : answer.text);
  });
}

function show() {
  sessionStorage.removeItem("reloaded");
  const [words, advice] = headline();
  $("words").textContent = words;
  $("advice").textContent = advice;
  const [speed, turn] = view.speed || [0, 0];
  $("speed").textContent = `${speed.toFixed(2)} m/s`;
  $("turn").textContent = `${turn.toFixed(2)} rad/s`;
  const age = parseFloat(view.frame_age);
  $("frame-age").textContent = Number.isFinite(age) ? `${Math.round(age * 1000)} ms` : "–";
  $("battery-cell").hidden = view.battery === null || view.battery === undefined;
  $("battery").textContent = `${view.battery} %`;
  $("instruction").textContent = view.instruction || "–";
  $("remark").hidden = !view.remark;
  $("remark").textContent = view.remark || "";
  $("pages").textContent = view.pages > 1 ? `${view.pages} pages are open` : "";
  $("stop").classList.toggle("held", Boolean(view.stop_held));
  $("stop").textContent = view.stop_held ? "STOPPED" : "STOP";
  // Also when the program that held it has ended: the guard keeps its last word.
  const pressed = Boolean(view.stop_held) || view.guard === "e-stop";
  $("release-row").hidden = !pressed;
  if (!pressed) askRelease(false);
  document.body.classList.toggle("pressed", pressed);
  showStick();
  showEvents();
  showRecorder(view.recorder, order);
  showTrials(view.trials, view.reasons || [], order);
}

// What stands above everything: the gate before the base has the last word.
function headline() {
  const guard = view.guard || "";
  if (view.stop_held) return ["STOP is held", "release it in two steps when it is safe"];
  if (guard === "e-stop") return ["The e-stop is not handed back", "Drive: Hand back to the policy"];
  if (guard === "two teleop sources") return ["Two people drive", "one of them must let go for good"];
  if (guard === "deadman") return ["The deadman is not held", view.words || ""];
  if (guard.startsWith("unheard input")) return ["The guard holds it", guard];
  if (view.taken_over) return [guard === "teleop" ? "A person drives" : "A person has taken over", "Drive: Hand back to the policy"];
  return [view.words || "", view.advice || ""];
}

function showStick() {
  const role = view.role;
  const texts = {
    driver: view.asking ? `you have the stick; ${view.asking} asks for it` : "you have the stick",
    free: "nobody has the stick",
    looking: view.asked ? `asked ${view.driver} for the stick ...` : `${view.driver} has the stick`,
  };
  $("driver").textContent = texts[role] || "";
  $("take").hidden = role === "driver";
  $("take").textContent = role === "looking" ? "Ask for the stick" : "Take the stick";
  $("give").hidden = role !== "driver";
  $("hand-back").hidden = !(view.taken_over || view.guard === "e-stop") || Boolean(view.stop_held);
  $("grant").hidden = !(role === "driver" && view.asking);
  if ($("grant").hidden === false) $("grant").textContent = `Hand it to ${view.asking}`;
  drive.lock(view.stop_held ? "STOP is held" : role === "looking" ? "another person drives" : "");
}

function showEvents() {
  const key = JSON.stringify(view.events || []);
  if (key === showEvents.last) return;
  showEvents.last = key;
  $("events").replaceChildren(...[...view.events].reverse().map((event) => {
    const line = document.createElement("li");
    const time = document.createElement("time");
    time.textContent = new Date(event.at * 1000).toLocaleTimeString("en-GB");
    line.append(time, event.text);
    return line;
  }));
}

function plan(entries) {
  const texts = [...new Set(entries.map((entry) => entry.instruction).filter(Boolean))];
  $("phrases").replaceChildren(...texts.map((text) => Object.assign(document.createElement("option"), { value: text })));
  $("planned").replaceChildren(...texts.map((text) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    button.addEventListener("click", () => order("instruction", text));
    return button;
  }));
}

function askRelease(asking) {
  $("release").hidden = asking;
  $("release-sure").hidden = $("release-not").hidden = !asking;
  // Two touches in one place would be one step.
  if (asking) $("release-not").focus();
}

$("stop").addEventListener("pointerdown", (event) => { event.preventDefault(); stop(); });
$("stop").addEventListener("click", (event) => { if (event.detail === 0) stop(); });
$("release").addEventListener("click", () => askRelease(true));
$("release-not").addEventListener("click", () => askRelease(false));
$("release-sure").addEventListener("click", () => { askRelease(false); order("release", true); });
$("take").addEventListener("click", () => link.say({ t: "ask" }));
$("give").addEventListener("click", () => link.say({ t: "give" }));
$("grant").addEventListener("click", () => link.say({ t: "grant" }));
$("clear").addEventListener("click", () => { $("text").value = ""; order("instruction", ""); });
$("say-form").addEventListener("submit", (event) => {
  event.preventDefault();
  order("instruction", $("text").value.trim());
});
$("failure").addEventListener("click", () => { order("trial_failure", $("reason").value.trim()); $("reason").value = ""; });
for (const button of document.querySelectorAll("[data-order]")) {
  button.addEventListener("click", () => {
    if (button.dataset.sure) {
      if (!confirm(button.dataset.sure)) return;
      order(button.dataset.order, true);
    } else {
      order(button.dataset.order, button.dataset.value ?? null);
    }
  });
}
for (const button of document.querySelectorAll("nav button")) {
  button.addEventListener("click", () => {
    document.body.dataset.panel = button.dataset.show;
    for (const other of document.querySelectorAll("nav button")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
  });
}

const Recognition = window.SpeechRecognition || window.webkitSpeechRecognition;
if (Recognition && window.isSecureContext) {
  $("speech").hidden = false;
  $("listen").addEventListener("click", () => {
    const listening = new Recognition();
    listening.lang = $("language").value;
    listening.onresult = (event) => { $("text").value = event.results[0][0].transcript; $("text").focus(); };
    listening.onerror = (event) => notice(`speech: ${event.error}`);
    listening.start();
    notice("listening ...");
  });
}

setInterval(() => {
  if (performance.now() > noticeUntil) $("notice").hidden = true;
  if (link.socket && link.age < 1.5) {
    $("link").textContent = "linked";
    $("link").classList.remove("bad");
  }
  $("link-age").textContent = Number.isFinite(link.age) ? `${Math.round(link.age * 1000)} ms` : "–";
  strip.add(performance.now() / 1000, view);
}, 200);

link.open();
