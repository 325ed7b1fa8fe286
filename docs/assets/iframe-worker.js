// Search for pages opened from the disk, where browsers refuse to start a worker: the worker's script runs in a hidden frame
// instead. mkdocs-material would load such a shim from a server; this one is the site's own.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const waiting = [];
      let inside = null;
      this.postMessage = (data) => (inside ? inside.dispatchEvent(new MessageEvent("message", { data })) : waiting.push(data));
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.onload = () => {
        const opened = frame.contentWindow;
        opened.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
        const script = opened.document.createElement("script");
        script.src = url;
        script.onload = () => {
          inside = opened;
          waiting.splice(0).forEach((data) => this.postMessage(data));
        };
        opened.document.body.append(script);
      };
      document.body.append(frame);
    }
  };
}
