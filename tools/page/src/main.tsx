import "uplot/dist/uPlot.min.css";
import "./styles/base.css";
import "./styles/now.css";
import "./styles/pages.css";
import { render } from "preact";
import { App } from "./app";
import { start } from "./live";
import { loadSession } from "./session";

const root = document.getElementById("app");
if (root) render(<App />, root);
void loadSession().then(start);
