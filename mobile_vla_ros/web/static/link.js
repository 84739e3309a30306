// The websocket to the robot: says hello, comes back after a loss, hands on what is said.

const RETRY = 1000;
const SILENT = 1500;

export class Link {
  constructor(handlers) {
    this.handlers = handlers;
    this.socket = null;
    this.beat = 0;
    this.beatAt = 0;
    this.orders = 0;
    this.waiting = new Map();
    this.refused = "";
    this.token = takeToken();
    this.version = document.querySelector('meta[name="page-version"]').content;
    setInterval(() => this.look(), 250);
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/socket`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      let name = "";
      try { name = localStorage.getItem("name") || ""; } catch { /* private window */ }
      this.say({ t: "hello", token: this.token, version: this.version, name });
    };
    socket.onmessage = (event) => this.hear(event.data);
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.beatAt = 0;
      for (const answer of this.waiting.values()) answer({ ok: false, text: "the link is lost" });
      this.waiting.clear();
      this.handlers.lost(this.refused);
      if (!this.refused) setTimeout(() => this.open(), RETRY);
    };
  }

  hear(data) {
    if (typeof data !== "string") {
      const head = new DataView(data, 0, 5);
      this.handlers.picture(head.getUint8(0), head.getUint32(1), new Blob([new Uint8Array(data, 5)], { type: "image/jpeg" }));
      return;
    }
    const words = JSON.parse(data);
    if (words.t === "beat") {
      this.beat = words.n;
      this.beatAt = performance.now();
    } else if (words.t === "answer") {
      const answer = this.waiting.get(words.id);
      if (words.ok !== null) this.waiting.delete(words.id);
      if (answer) answer(words);
    } else if (words.t === "refused") {
      this.refused = words.why;
    } else if (this.handlers[words.t]) {
      this.handlers[words.t](words);
    }
  }

  say(words) {
    const socket = this.socket;
    if (!socket || socket.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify(words));
    return true;
  }

  order(name, value, answer) {
    const id = ++this.orders;
    this.waiting.set(id, answer);
    if (!this.say({ t: "order", id, name, value })) {
      this.waiting.delete(id);
      answer({ ok: false, text: "there is no link to the robot" });
    }
  }

  // Seconds since the newest beat came; what the person sees may be that much older.
  get age() {
    return this.beatAt ? (performance.now() - this.beatAt) / 1000 : Infinity;
  }

  look() {
    if (this.socket && this.beatAt) {
      this.say({ t: "here", beat: this.beat });
      if (this.age * 1000 > SILENT) this.handlers.silent(this.age);
    }
  }
}

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  try {
    if (given) {
      sessionStorage.setItem("token", given);
      history.replaceState(null, "", location.pathname);
    }
    return given || sessionStorage.getItem("token") || "";
  } catch {
    return given || "";
  }
}
