// The stick: held by a finger, the mouse, keys or a gamepad. Only while held does it say so.

const PERIOD = 50;
const DEAD_ZONE = 0.15;
const KEYS = {
  KeyW: [0, 1], KeyS: [0, -1], KeyA: [-1, 0], KeyD: [1, 0],
  ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0],
};

export class Drive {
  constructor(link, stop) {
    this.link = link;
    this.stop = stop;
    this.number = 0;
    this.holding = false;
    this.pointer = null;
    this.place = [0, 0];
    this.keys = new Set();
    this.padButton = false;
    this.padStopped = false;
    this.pace = document.getElementById("pace");
    this.stick = document.getElementById("stick");
    this.knob = document.getElementById("knob");
    this.words = document.getElementById("stick-words");
    this.locked = "";
    this.listen();
    setInterval(() => this.tick(), PERIOD);
  }

  listen() {
    const stick = this.stick;
    stick.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      stick.focus({ preventScroll: true });
      if (this.pointer !== null) {
        // Two fingers mean nothing that is sure.
        this.release();
        this.pointer = -1;
        return;
      }
      this.pointer = event.pointerId;
      try { stick.setPointerCapture(event.pointerId); } catch { /* gone already */ }
      this.move(event);
      this.tick();
    });
    stick.addEventListener("pointermove", (event) => {
      if (event.pointerId === this.pointer) this.move(event);
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
      stick.addEventListener(kind, () => this.release());
    }
    stick.addEventListener("contextmenu", (event) => event.preventDefault());
    addEventListener("keydown", (event) => this.keyDown(event), true);
    addEventListener("keyup", (event) => {
      if (this.keys.delete(event.code)) this.tick();
    }, true);
    for (const kind of ["blur", "pagehide"]) addEventListener(kind, () => this.release());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.release();
      this.link.say({ t: "look", on: !document.hidden });
    });
    addEventListener("gamepaddisconnected", () => this.tick());
    this.pace.addEventListener("input", () => {
      document.getElementById("pace-words").textContent = `${this.pace.value} %`;
    });
  }

  keyDown(event) {
    const inText = event.target.matches?.('input[type="text"], textarea, select');
    if (event.code === "Escape" || (event.code === "Space" && !inText)) {
      event.preventDefault();
      event.stopPropagation();
      if (!event.repeat) this.stop();
      return;
    }
    if (inText || event.target.matches?.("input") || event.ctrlKey || event.altKey || event.metaKey) return;
    if (KEYS[event.code]) {
      event.preventDefault();
      this.keys.add(event.code);
      if (!event.repeat) this.tick();
    }
  }

  move(event) {
    const box = this.stick.getBoundingClientRect();
    const radius = box.width / 2;
    let x = (event.clientX - box.left - radius) / radius;
    let y = -(event.clientY - box.top - radius) / radius;
    const far = Math.hypot(x, y);
    if (far > 1) { x /= far; y /= far; }
    this.place = [bent(x), bent(y)];
  }

  release() {
    this.pointer = null;
    this.keys.clear();
    this.place = [0, 0];
    this.tick();
  }

  lock(why) {
    this.locked = why;
    this.stick.classList.toggle("locked", Boolean(why));
  }

  // Where the stick is, or null when nobody holds it.
  position(pad) {
    const pace = Number(this.pace.value) / 100;
    if (pad) return pad;
    if (this.pointer !== null && this.pointer !== -1) return this.place.map((v) => v * pace);
    if (this.keys.size) {
      let x = 0, y = 0;
      for (const key of this.keys) { x += KEYS[key][0]; y += KEYS[key][1]; }
      return [Math.sign(x) * pace, Math.sign(y) * pace];
    }
    return null;
  }

  gamepad() {
    let stopped = false, held = null;
    for (const pad of navigator.getGamepads?.() || []) {
      if (!pad || !pad.connected) continue;
      const pressed = (number) => Boolean(pad.buttons[number]?.pressed);
      if (pressed(1)) stopped = true;
      if (pressed(4) || pressed(5)) {
        const trigger = pad.buttons[7]?.value || 0;
        const speed = 0.3 + 0.7 * trigger;
        held = [bent(pad.axes[0] || 0) * speed, -bent(pad.axes[1] || 0) * speed];
      }
    }
    const pressed = stopped && !this.padStopped;
    this.padStopped = stopped;
    if (pressed) this.stop();
    return stopped ? null : held;
  }

  tick() {
    // Its stop counts even where its stick does not.
    const pad = this.gamepad();
    const place = this.locked ? null : this.position(pad);
    if (place && !document.hidden) {
      this.holding = true;
      const [x, y] = place;
      this.link.say({ t: "hold", number: ++this.number, beat: this.link.beat, x, y });
    } else if (this.holding) {
      this.holding = false;
      this.link.say({ t: "go" });
    }
    const [x, y] = place || [0, 0];
    this.knob.style.left = `${35 + 33 * x}%`;
    this.knob.style.top = `${35 - 33 * y}%`;
    this.stick.classList.toggle("held", Boolean(place));
    this.words.textContent = this.locked || (place ? "" : "hold to drive");
  }
}

function bent(value) {
  const size = Math.abs(value);
  if (!(size > DEAD_ZONE)) return 0;
  return Math.sign(value) * Math.min(1, (size - DEAD_ZONE) / (1 - DEAD_ZONE));
}
