// The last 30 seconds: speed as a line, the state as the colour of the ground below it.

const SPAN = 30;

export class Strip {
  constructor(canvas) {
    this.canvas = canvas;
    this.samples = [];
  }

  add(now, view) {
    const [speed, turn] = view.speed || [0, 0];
    this.samples.push({ at: now, speed, turn, driving: view.state === "driving", stopped: Boolean(view.stop_held) || (view.state || "").startsWith("stopped") });
    while (this.samples.length && this.samples[0].at < now - SPAN) this.samples.shift();
    if (!document.hidden) this.draw(now);
  }

  draw(now) {
    const { canvas } = this;
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.body);
    const ink = (name) => style.getPropertyValue(name).trim();
    const dense = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * dense), height = Math.round(canvas.clientHeight * dense);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    pen.clearRect(0, 0, width, height);
    const x = (at) => width * (1 - (now - at) / SPAN);
    const step = width / SPAN * 0.25;
    for (const one of this.samples) {
      pen.fillStyle = one.stopped ? ink("--stop") : one.driving ? ink("--drive") : ink("--line");
      pen.fillRect(x(one.at), height - 8, step + 1, 8);
    }
    const most = Math.max(0.2, ...this.samples.map((one) => Math.abs(one.speed)));
    const middle = (height - 10) / 2;
    pen.strokeStyle = ink("--line");
    pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(0, middle); pen.lineTo(width, middle); pen.stroke();
    pen.strokeStyle = ink("--accent");
    pen.lineWidth = 2 * dense;
    pen.beginPath();
    this.samples.forEach((one, i) => {
      const y = middle - one.speed / most * (middle - 2);
      if (i) pen.lineTo(x(one.at), y); else pen.moveTo(x(one.at), y);
    });
    pen.stroke();
    pen.fillStyle = ink("--quiet");
    pen.font = `${12 * dense}px system-ui, sans-serif`;
    pen.fillText(`${most.toFixed(1)} m/s`, 6 * dense, 12 * dense);
  }
}
