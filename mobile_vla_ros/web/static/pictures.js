// Pictures: the newest only. The robot sends the next one when this one has been shown.

const LIVE = 0, START = 1, THUMBNAIL = 2;
const CANVASES = { [LIVE]: "picture", [START]: "start-view", [THUMBNAIL]: "thumbnail" };

export class Pictures {
  constructor(link) {
    this.link = link;
  }

  async take(kind, number, blob) {
    const canvas = document.getElementById(CANVASES[kind]);
    if (!canvas) return;
    try {
      const picture = await createImageBitmap(blob);
      if (canvas.width !== picture.width || canvas.height !== picture.height) {
        canvas.width = picture.width;
        canvas.height = picture.height;
      }
      canvas.getContext("2d").drawImage(picture, 0, 0);
      picture.close();
      canvas.hidden = false;
      if (kind === LIVE) document.getElementById("no-picture").hidden = true;
    } catch { /* a picture that cannot be read is left out */ }
    if (kind === LIVE) this.link.say({ t: "seen", picture: number });
  }
}
