// The page is whole without this; it makes the comparisons movable.
"use strict";

const at = (id) => document.getElementById(id);

function on(id, event, act) {
  const element = at(id);
  if (element) element.addEventListener(event, () => act(element));
  return element;
}

// Swipe: the slider for keys, the picture itself for mouse and touch.
const swipe = at("swipe");
if (swipe) {
  const box = swipe.viewBox.baseVal;
  const clip = swipe.querySelector("#swipe-clip rect");
  const divider = swipe.querySelector(".divider");
  const slider = on("swipe-at", "input", (s) => place(s.value / 100));

  function place(share) {
    const x = share * box.width;
    clip.setAttribute("x", x);
    divider.setAttribute("transform", `translate(${x} 0)`);
  }

  function follow(event) {
    const x = new DOMPoint(event.clientX, event.clientY).matrixTransform(swipe.getScreenCTM().inverse()).x;
    const share = Math.min(1, Math.max(0, x / box.width));
    slider.value = 100 * share;
    place(share);
  }

  swipe.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    swipe.setPointerCapture(event.pointerId);
    follow(event);
    slider.focus({ preventScroll: true });
  });
  swipe.addEventListener("pointermove", (event) => {
    if (swipe.hasPointerCapture(event.pointerId)) follow(event);
  });
}

// Checkerboard: the slider counts tiles along the longer side.
on("tile-size", "input", (slider) => {
  const box = at("checker").viewBox.baseVal;
  const tile = Math.max(box.width, box.height) / slider.value;
  const tiles = at("tiles");
  tiles.setAttribute("width", 2 * tile);
  tiles.setAttribute("height", 2 * tile);
  tiles.firstElementChild.setAttribute("transform", `scale(${tile})`);
});

on("blend-share", "input", (slider) => at("blend-top").setAttribute("opacity", slider.value / 100));

// Browsers that keep form values over a reload would show sliders that disagree with the pictures.
for (const slider of document.querySelectorAll("input[type=range]")) slider.dispatchEvent(new Event("input"));

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = at(button.dataset.copy);
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      // A page opened from disk may not reach the clipboard: select the text instead.
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => (button.textContent = before), 2500);
  });
}

// Print shows what was folded away.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => (d.open = true)));
