"use strict";
// The page is whole without this: it adds a filter to the flips, shows a part of many, and opens all for print.
(() => {
  const FIRST = 12;
  const PRINTED = 100;
  const form = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const more = document.querySelector(".more");
  const cards = Array.from(document.querySelectorAll(".flip"));
  const texts = new Map();
  const value = (id) => document.getElementById(id)?.value ?? "";
  const number = (count) => count.toLocaleString("en");
  let most = FIRST;

  const textOf = (card) => {
    if (!texts.has(card)) texts.set(card, card.textContent.toLowerCase());
    return texts.get(card);
  };

  const show = (room) => {
    const text = value("filter-text").trim().toLowerCase();
    const wanted = { arm: value("filter-arm"), family: value("filter-family"), way: value("filter-way") };
    let matching = 0;
    for (const card of cards) {
      const fits = Object.keys(wanted).every((key) => !wanted[key] || card.dataset[key] === wanted[key])
        && (!text || textOf(card).includes(text));
      matching += fits;
      card.hidden = !fits;
      card.classList.toggle("later", fits && matching > room);
    }
    const open = Math.min(matching, room);
    const filtered = matching < cards.length ? ` of ${number(matching)} that match` : "";
    shown.textContent = `Shown: ${number(open)}${filtered}, of ${number(cards.length)} on this page and `
      + `${number(Number(shown.dataset.total))} in all.`;
    more.hidden = open === matching;
  };

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { most = FIRST; show(most); }));
  form.addEventListener("input", () => { most = FIRST; show(most); });
  document.getElementById("more").addEventListener("click", () => { most += 4 * FIRST; show(most); });
  document.getElementById("all").addEventListener("click", () => { most = Infinity; show(most); });

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = Array.from(document.querySelectorAll("details:not([open])"));
    for (const one of closed) one.open = true;
    show(Math.max(most, PRINTED));
  });
  window.addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
    show(most);
  });
  show(most);
})();
