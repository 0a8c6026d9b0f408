import "uplot/dist/uPlot.min.css";
import "./styles/base.css";
import "./styles/now.css";
import "./styles/pages.css";
import "./styles/teach.css";
import { render } from "preact";
import { App } from "./app";
import { start } from "./live";
import { loadSession, refresh } from "./session";

const root = document.getElementById("app");
if (root) render(<App />, root);
void loadSession().then(start);
// What cannot be had now is asked for again; that the server is away is said by the band.
setInterval(() => refresh().catch(() => undefined), 60_000);
