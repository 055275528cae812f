// Returns what is wrong with the layout, as sentences: what is wider than the window, cut off, or too small to tap.
({ targets }) => {
  const faults = [];
  const name = (node) => `${node.localName}.${node.getAttribute("class") || ""} “${(node.textContent || "").trim().slice(0, 40)}”`;
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) faults.push(`the page is ${root.scrollWidth} px wide`);
  for (const node of document.body.querySelectorAll("*:not(svg *, .vh, .vh *, .skip)")) {
    const box = node.getBoundingClientRect();
    if (!box.width || !box.height || getComputedStyle(node).visibility === "hidden") continue;
    if (box.right > root.clientWidth + 1 || box.left < -1) faults.push(`${name(node)} is out of the window`);
    // Names of strangers are cut after some lines, where that is said in the style sheet.
    const style = getComputedStyle(node);
    if (style.clipPath !== "none") continue; // for those who hear the page
    const cut = style.overflowX !== "visible" && !["INPUT", "SELECT", "OPTION"].includes(node.tagName);
    if (cut && !node.matches(".name, .what") && (node.scrollWidth > node.clientWidth + 1 || node.scrollHeight > node.clientHeight + 1))
      faults.push(`${name(node)} is cut off`);
  }
  if (!targets) return faults;
  for (const node of document.querySelectorAll("a[href], button, select, input, summary")) {
    if (node.closest("svg, .vh, .skip, p.empty") || !node.checkVisibility()) continue;
    const cover = getComputedStyle(node, "::after").position === "absolute" && node.closest("li");
    const box = (cover || node.closest("label") || node).getBoundingClientRect();
    if (box.height < 43.5) faults.push(`${name(node)} is ${Math.round(box.height)} px high`);
  }
  return faults;
}
