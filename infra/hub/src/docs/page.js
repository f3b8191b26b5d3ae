(() => {
  const byId = (id) => document.getElementById(id);
  const [query, way, provider, open, count] = ["query", "way", "provider", "open", "count"].map(byId);
  const fields = [...document.querySelectorAll("details.field")].map((element) => ({
    element,
    way: element.dataset.way,
    about: (element.id + " " + element.querySelector("summary").textContent + element.querySelector("dl").textContent).toLowerCase(),
    rows: [...element.querySelectorAll("tbody tr")].map((row) => ({
      row,
      provider: row.dataset.provider,
      text: row.textContent.toLowerCase(),
    })),
  }));
  const sections = [...document.querySelectorAll("section.object")];

  function filter() {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const field of fields) {
      const whole = words.every((word) => field.about.includes(word));
      let rows = 0;
      for (const { row, provider: name, text } of field.rows) {
        const fits = (!provider.value || name === provider.value) && (whole || words.every((word) => (field.about + text).includes(word)));
        row.hidden = !fits;
        rows += fits;
      }
      const fits = (!way.value || field.way === way.value) && (rows > 0 || (whole && !provider.value));
      field.element.hidden = !fits;
      shown += fits;
      // Open a field whose mappings contain the search words.
      field.element.open = fits && words.length > 0 && !whole;
    }
    for (const section of sections) {
      section.hidden = !section.querySelector("details:not([hidden])");
      document.querySelector(`nav a[href="#${section.id}"]`).classList.toggle("off", section.hidden);
    }
    byId("top").hidden = shown < fields.length;
    byId("nothing").hidden = shown > 0;
    count.textContent = shown === fields.length ? `${shown} fields` : `${shown} of ${fields.length} fields`;
    label();
  }

  const visible = () => fields.filter((field) => !field.element.hidden);
  const label = () => { open.textContent = visible().some((field) => field.element.open) ? "Close all" : "Open all"; };

  open.addEventListener("click", () => {
    const opening = !visible().some((field) => field.element.open);
    for (const field of visible()) field.element.open = opening;
    label();
  });
  byId("reset").addEventListener("click", () => {
    byId("tools").reset();
    filter();
  });
  byId("tools").addEventListener("submit", (event) => event.preventDefault());
  byId("tools").addEventListener("input", filter);
  document.addEventListener("toggle", label, true);

  // A link to a field opens it.
  const follow = () => {
    const target = byId(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") {
      target.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", follow);
  byId("tools").hidden = false;
  follow();
})();
