"use strict";
// The phone page. Everything that others wrote is put in with textContent only.
(() => {
  const $ = (id) => document.getElementById(id);
  const state = { numbers: [], number: null, user: null, rev: 0, messages: new Map(), poll: null, added: [] };

  const element = (name, className, text) => {
    const node = document.createElement(name);
    if (className) node.className = className;
    if (text !== undefined && text !== null) node.textContent = text;
    return node;
  };

  async function call(path, body) {
    const answer = await fetch(path, body === undefined ? {} : {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
    const data = await answer.json();
    if (!answer.ok) throw new Error(data.error || "the call failed");
    return data;
  }

  const providers = { meta: "Meta", twilio: "Twilio", dialog360: "360dialog", msg91: "MSG91" };
  const provider = (number) => providers[number.provider] || number.provider;

  // What a file is called: its name, or the end of its address.
  function called(media) {
    if (media.filename) return media.filename;
    if (!media.link) return "";
    const plain = media.link.split(/[?#]/)[0];
    const end = plain.slice(plain.lastIndexOf("/") + 1);
    if (end.includes(".")) return end.length > 40 ? `${end.slice(0, 39)}…` : end;
    return URL.canParse(media.link) ? new URL(media.link).host : "";
  }

  const line = (text) => { if ($("line").textContent !== text) $("line").textContent = text; };

  // *bold*, _italic_, ~struck~ and ```code``` as WhatsApp shows them.
  const marks = [["```", "code"], ["*", "strong"], ["_", "em"], ["~", "s"]];
  function styled(parent, text) {
    const found = /```([\s\S]+?)```|\*(\S(?:[^*\n]*\S)?)\*|_(\S(?:[^_\n]*\S)?)_|~(\S(?:[^~\n]*\S)?)~/.exec(text);
    if (!found) { parent.append(text); return; }
    parent.append(text.slice(0, found.index));
    const group = [1, 2, 3, 4].find((n) => found[n] !== undefined);
    parent.append(element(marks[group - 1][1], "", found[group]));
    styled(parent, text.slice(found.index + found[0].length));
  }

  const ticks = {
    accepted: ["🕓", "accepted"], sent: ["✓", "sent"], delivered: ["✓✓", "delivered"],
    read: ["✓✓", "read"], played: ["✓✓", "played"], failed: ["!", "failed"],
  };

  function meta(message) {
    const node = element("div", "meta");
    const time = new Date(message.at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    node.append(element("span", "", time));
    const [mark, word] = ticks[message.tick] || ["", message.tick];
    const blue = message.tick === "read" || message.tick === "played";
    const text = message.error ? `${mark} ${message.error}` : mark;
    const tick = element("span", message.tick === "failed" ? "bad" : blue ? "read" : "", text);
    tick.setAttribute("role", "img");
    tick.setAttribute("aria-label", message.error ? `${word}, code ${message.error}` : word);
    tick.title = tick.getAttribute("aria-label");
    node.append(tick);
    return node;
  }

  function actions(message) {
    const node = element("div", "actions");
    for (const button of message.buttons || []) {
      if (button.kind === "reply" || button.kind === "quick_reply") {
        const tap = element("button", "", button.title);
        tap.type = "button";
        tap.addEventListener("click", () => act("tap", { message: message.id, id: button.id }));
        node.append(tap);
      } else {
        const link = element("div", "link", button.title);
        if (button.url) link.title = button.url;
        node.append(link);
      }
    }
    if ((message.sections || []).some((section) => section.rows.length)) {
      const open = element("button", "", `☰ ${message.list_button || "Open"}`);
      open.type = "button";
      open.setAttribute("aria-haspopup", "dialog");
      open.addEventListener("click", () => sheet(message));
      node.append(open);
    }
    return node.childElementCount ? node : null;
  }

  function sheet(message) {
    $("sheet-title").textContent = message.list_button || "Choose";
    const rows = $("sheet-rows");
    rows.replaceChildren();
    for (const section of message.sections) {
      if (section.title) rows.append(element("h3", "", section.title));
      for (const row of section.rows) {
        const pick = element("button", "", row.title);
        pick.type = "button";
        if (row.description) pick.append(element("small", "", row.description));
        pick.addEventListener("click", () => { $("sheet").close(); act("pick", { message: message.id, id: row.id }); });
        rows.append(pick);
      }
    }
    $("sheet").showModal();
  }

  function bubble(message) {
    const mine = !message.from_business;
    const node = element("li", `bubble${mine ? " mine" : ""}${message.tick === "failed" ? " failed" : ""}`);
    node.dataset.seq = message.seq;
    node.append(element("span", "hidden", mine ? "You: " : "Business: "));
    const quoted = message.reply_to && state.messages.get(message.reply_to);
    if (quoted) node.append(element("div", "quote", quoted.text || quoted.kind));
    if (message.media) {
      const file = element("span", "media");
      file.append(element("strong", "", message.media.kind));
      const name = called(message.media);
      if (name) file.append(element("span", "", name));
      if (message.media.link) file.title = message.media.link;
      node.append(file);
    }
    if (message.kind === "location") {
      const place = element("span", "media");
      place.append(element("strong", "", "location"));
      node.append(place);
    }
    if (message.header) node.append(element("div", "head", message.header));
    const body = element("div");
    styled(body, message.text || (message.media ? "" : `[${message.kind}]`));
    node.append(body);
    if (message.footer) node.append(element("div", "foot", message.footer));
    node.append(meta(message));
    const buttons = actions(message);
    if (buttons) node.append(buttons);
    return node;
  }

  function show(messages) {
    const thread = $("thread");
    const atEnd = thread.scrollHeight - thread.scrollTop - thread.clientHeight < 80;
    for (const message of messages) {
      state.messages.set(message.id, message);
      const fresh = bubble(message);
      const old = thread.querySelector(`[data-seq="${message.seq}"]`);
      if (old) {
        // A tick changed: only that line is replaced, so that the focus stays where it is.
        old.className = fresh.className;
        old.querySelector(".meta").replaceWith(fresh.querySelector(".meta"));
      } else {
        thread.append(fresh);
      }
    }
    if (atEnd) thread.scrollTop = thread.scrollHeight;
  }

  async function listen(number, user, stop) {
    let pause = 500;
    while (!stop.signal.aborted) {
      const query = new URLSearchParams({ number, user, after: state.rev, wait: state.rev || state.messages.size ? 25 : 2 });
      try {
        const answer = await fetch(`/phone/api/thread?${query}`, { signal: stop.signal });
        const data = await answer.json();
        if (stop.signal.aborted) return;
        // A smaller revision means that the emulator was started anew.
        if (data.rev < state.rev) { clear(); continue; }
        state.rev = data.rev;
        show(data.messages);
        const business = state.numbers.find((n) => n.id === number);
        line(business ? `online · +${business.display} at ${provider(business)}` : "online");
        pause = 500;
        if (!data.rev) await new Promise((done) => setTimeout(done, 1000));
      } catch (error) {
        if (stop.signal.aborted) return;
        line("the emulator does not answer");
        await new Promise((done) => setTimeout(done, pause));
        pause = Math.min(pause * 2, 5000);
      }
    }
  }

  function clear() {
    state.rev = 0;
    state.messages.clear();
    $("thread").replaceChildren();
  }

  function open(number, user) {
    if (state.poll) state.poll.abort();
    state.number = number;
    state.user = user;
    clear();
    location.hash = `${encodeURIComponent(number)}/${encodeURIComponent(user)}`;
    const business = state.numbers.find((n) => n.id === number);
    $("business").textContent = business ? business.name : number;
    $("avatar").textContent = (business ? business.name : "?").slice(0, 1);
    contacts();
    state.poll = new AbortController();
    listen(number, user, state.poll);
  }

  function people() {
    const business = state.numbers.find((n) => n.id === state.number);
    const known = business ? business.users : [];
    const added = state.added.filter((a) => !known.some((k) => k.user === a.user));
    return [...added, ...known];
  }

  function contacts() {
    const list = $("contacts");
    const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.user : null;
    list.replaceChildren(...people().map((person) => {
      const item = element("li");
      const button = element("button", "", person.name || person.user);
      button.type = "button";
      button.dataset.user = person.user;
      button.setAttribute("aria-current", String(person.user === state.user));
      button.append(element("small", "", person.last || person.user));
      button.addEventListener("click", () => { if (person.user !== state.user) open(state.number, person.user); });
      item.append(button);
      return item;
    }));
    if (focused) {
      const again = [...list.querySelectorAll("button")].find((b) => b.dataset.user === focused);
      if (again) again.focus();
    }
  }

  async function refresh() {
    try {
      state.numbers = (await call("/phone/api/numbers")).numbers;
    } catch (error) {
      line("the emulator does not answer");
      return;
    }
    const select = $("number");
    if (select.options.length !== state.numbers.length) {
      select.replaceChildren(...state.numbers.map((n) => {
        const option = element("option", "", `${provider(n)} +${n.display} ${n.name}`);
        option.value = n.id;
        return option;
      }));
    }
    if (!state.number && state.numbers.length) {
      const [number, user] = location.hash.slice(1).split("/").map(decodeURIComponent);
      const business = state.numbers.find((n) => n.id === number) || state.numbers[0];
      if (!business.users.length) state.added.push({ user: "16505551234", name: "Sheena Nelson" });
      if (user && !business.users.some((u) => u.user === user)) state.added.push({ user, name: "" });
      const first = business.users.length ? business.users[0].user : state.added[0].user;
      select.value = business.id;
      open(business.id, user || first);
    } else if (!state.numbers.length) {
      line("no business number was added yet");
    } else {
      contacts();
    }
  }

  async function act(verb, body) {
    const person = people().find((p) => p.user === state.user);
    const name = person && person.name ? person.name : undefined;
    try {
      await call(`/phone/api/${verb}`, { number: state.number, user: state.user, name, ...body });
      refresh();
      return "";
    } catch (error) {
      line(error.message);
      return error.message;
    }
  }

  // The text behind the comma of a data URL is the file in base64.
  const base64 = (file) => new Promise((done, failed) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => done(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => failed(reader.error));
    reader.readAsDataURL(file);
  });

  async function give(form, verb, body) {
    $("give-error").textContent = await act(verb, body);
    if ($("give-error").textContent) return;
    form.reset();
    $("give").close();
  }

  $("attach").addEventListener("click", () => { $("give-error").textContent = ""; $("give").showModal(); });
  $("give-close").addEventListener("click", () => $("give").close());
  $("give-file").addEventListener("submit", async (event) => {
    event.preventDefault();
    const file = $("file").files[0];
    if (!file || !state.number) return;
    if (file.size > 16 * 1024 * 1024) { $("give-error").textContent = "The file is larger than 16 MB"; return; }
    const mime = file.type || "application/octet-stream";
    give($("give-file"), "media", { mime, data: await base64(file), text: $("caption").value });
  });
  $("give-place").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!state.number) return;
    const [latitude, longitude] = [$("latitude").valueAsNumber, $("longitude").valueAsNumber];
    give($("give-place"), "location", { latitude, longitude, text: $("place").value });
  });

  $("compose").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("text").value;
    if (!text.trim() || !state.number) return;
    $("text").value = "";
    act("say", { text });
    $("thread").scrollTop = $("thread").scrollHeight;
    $("text").focus();
  });
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      $("compose").requestSubmit();
    }
  });
  $("number").addEventListener("change", () => {
    const business = state.numbers.find((n) => n.id === $("number").value);
    if (business) open(business.id, business.users.length ? business.users[0].user : state.user);
  });
  $("add").addEventListener("submit", (event) => {
    event.preventDefault();
    const raw = $("add-user").value.trim();
    const user = /^[A-Z]{2}\.[A-Za-z0-9.]{1,132}$/.test(raw) ? raw : raw.replace(/\D/g, "");
    const bad = user.length < 5 || (!user.includes(".") && user.length > 20);
    $("add-error").textContent = bad ? "Give a phone of 5 to 20 digits or a user id like US.1349" : "";
    if (bad || !state.number) return;
    state.added.unshift({ user, name: $("add-name").value.trim() });
    $("add").reset();
    $("more").open = false;
    open(state.number, user);
    $("text").focus();
  });
  $("sheet-close").addEventListener("click", () => $("sheet").close());
  refresh();
  setInterval(() => { if (!document.hidden) refresh(); }, 3000);
})();
