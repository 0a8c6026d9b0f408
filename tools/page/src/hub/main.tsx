import "uplot/dist/uPlot.min.css";
import "../styles/base.css";
import "../styles/pages.css";
import "../styles/hub.css";
import { render } from "preact";
import { loadSession, refresh } from "../session";
import { HubApp } from "./app";
import { watchFleet } from "./fleet";

const root = document.getElementById("app");
if (root) render(<HubApp />, root);
void loadSession().then(watchFleet);
// What cannot be had now is asked for again; that the hub is away is said by the band.
setInterval(() => refresh().catch(() => undefined), 60_000);
