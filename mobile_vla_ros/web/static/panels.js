// The recorder's panel and the trials' panel.

const $ = (id) => document.getElementById(id);

function element(kind, text, properties = {}) {
  return Object.assign(document.createElement(kind), { textContent: text, ...properties });
}

function figures(list, pairs) {
  list.replaceChildren(...pairs.map(([name, value]) => {
    const cell = document.createElement("div");
    cell.append(element("dt", name), element("dd", value));
    return cell;
  }));
}

// Only what has changed is drawn anew: a button must not vanish under a finger.
function unchanged(list, key) {
  const same = list.dataset.key === key;
  list.dataset.key = key;
  return same;
}

export function showRecorder(status, order) {
  $("record-absent").hidden = Boolean(status);
  $("record-body").hidden = !status;
  if (!status) return;
  $("record-words").textContent = `${status.state}: ${status.scenario || "no scenario"} ${status.instruction ? `“${status.instruction}”` : ""} ${status.error || status.message || ""}`;
  const wanted = status.episode_length ? `${status.frames} of ${status.episode_length}` : String(status.frames);
  const left = status.disk_left_bytes;
  figures($("record-figures"), [
    ["Rows", wanted],
    ["Dropped", String(status.frames_dropped)],
    ["Lost", String(status.frames_lost)],
    ["Disk left", left ? `${(left / 1e9).toFixed(1)} GB` : "–"],
    ["Next", status.next || "–"],
  ]);
  const progress = status.progress || [];
  const list = $("progress");
  if (!unchanged(list, JSON.stringify([progress, status.scenario]))) {
    list.replaceChildren(...progress.map((entry) => {
      const button = element("button", entry.name, { type: "button" });
      button.setAttribute("aria-pressed", String(entry.name === status.scenario));
      button.append(element("span", entry.target ? ` ${entry.done}/${entry.target}` : ` ${entry.done}`, { className: "count" }));
      button.addEventListener("click", () => order("scenario", entry.name));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }));
  }
  const last = status.last;
  $("last-episode").hidden = !last;
  if (last) $("last-words").textContent = last.words;
}

export function showTrials(status, reasons, order) {
  $("judge-absent").hidden = Boolean(status);
  $("judge-body").hidden = !status;
  if (!status) return;
  const next = status.next;
  const running = status.phase !== "waiting";
  const now = running
    ? `trial ${status.trial}: ${status.scenario}, ${status.phase}, ${Math.round(status.elapsed)} s`
    : next ? `next: number ${next.number}, ${next.scenario}` : "";
  $("judge-words").textContent = `${now} – ${status.done} of ${status.planned || "?"} done. ${status.message || ""}`;
  $("judge-progress").max = status.planned || 1;
  $("judge-progress").value = status.planned ? status.done : 0;
  if (running) $("start-view").hidden = true;
  const list = $("reasons");
  if (!unchanged(list, JSON.stringify(reasons))) {
    list.replaceChildren(...reasons.map((reason) => {
      const button = element("button", reason, { type: "button" });
      button.setAttribute("aria-label", `Failure: ${reason}`);
      button.addEventListener("click", () => order("trial_failure", reason));
      return button;
    }));
  }
}
