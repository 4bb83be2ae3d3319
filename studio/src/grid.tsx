// SPDX-License-Identifier: Apache-2.0
// The page that draws a needle grid: lengths across, depths down, trials of a cell below.

import { useEffect, useRef, useState } from "react";
import { type Cell, colour, deep, parsed, percent, type Report, short } from "./report";
import { useStrings } from "./strings";

export function GridPage() {
  const t = useStrings();
  const [report, setReport] = useState<Report>();
  const [problem, setProblem] = useState("");
  const [chosen, setChosen] = useState<Cell>();
  const take = async (file: File | undefined) => {
    if (!file) return;
    const found = parsed(await file.text());
    setProblem(found ? "" : t.gridBad);
    setReport(found);
    setChosen(undefined);
  };
  return (
    <main className="gridpage" id="main">
      <h1>{t.gridTitle}</h1>
      <p className="dim">{t.gridIntro}</p>
      <label
        className={report ? "drop filled" : "drop"}
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault();
          take(event.dataTransfer.files[0]);
        }}
      >
        {!report && <span>{t.gridDrop}</span>}
        <input
          type="file"
          accept=".json,application/json"
          aria-label={t.gridChoose}
          onChange={(event) => take(event.target.files?.[0])}
        />
      </label>
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      {report && <Drawn report={report} chosen={chosen} onCell={setChosen} />}
      {chosen && <Trials key={where(chosen)} cell={chosen} />}
    </main>
  );
}

function where(cell: Cell): string {
  return `${cell.family} ${cell.length} ${cell.depth}`;
}

interface DrawnProps {
  report: Report;
  chosen: Cell | undefined;
  onCell: (cell: Cell) => void;
}

function Drawn({ report, chosen, onCell }: DrawnProps) {
  const t = useStrings();
  const needles = report.cells.filter((cell) => cell.family === "needle");
  const others = report.cells.filter((cell) => cell.family !== "needle");
  const depths = ascending(needles.map((cell) => cell.depth ?? 0));
  const families = [...new Set(others.map((cell) => cell.family))];
  const trials = report.cells.reduce((sum, cell) => sum + cell.count, 0);
  const { cells, agreed } = report.audits;
  const square = (cell: Cell | undefined) => (
    <Square cell={cell} current={cell !== undefined && cell === chosen} onCell={onCell} />
  );
  return (
    <>
      <p className="dim">{t.gridMade(report.settings.weights, trials, cells, agreed)}</p>
      {needles.length > 0 && (
        <Table
          caption={t.gridTold.needle ?? ""}
          corner={t.depth}
          lengths={ascending(needles.map((cell) => cell.length))}
          rows={[
            ...depths.map((depth) => ({
              head: deep(depth),
              cell: (length: number) =>
                square(needles.find((one) => one.length === length && one.depth === depth)),
            })),
            {
              head: t.allDepths,
              cell: (length) => <Pooled report={report} length={length} />,
            },
          ]}
        />
      )}
      {others.length > 0 && (
        <Table
          caption={t.gridOthers}
          corner={t.family}
          lengths={ascending(others.map((cell) => cell.length))}
          rows={families.map((family) => ({
            head: t.gridTold[family] ?? family,
            cell: (length) =>
              square(others.find((one) => one.length === length && one.family === family)),
          }))}
        />
      )}
      <p className="scale dim">
        {t.scale}
        {[0, 0.25, 0.5, 0.75, 1].map((share) => (
          <span key={share} style={{ background: colour(share) }}>
            {percent(share).replace(".0", "")}
          </span>
        ))}
      </p>
    </>
  );
}

function ascending(numbers: number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}

interface TableProps {
  caption: string;
  corner: string;
  lengths: number[];
  rows: { head: string; cell: (length: number) => React.ReactNode }[];
}

function Table({ caption, corner, lengths, rows }: TableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
    <section className="scroll" tabIndex={0} aria-label={caption}>
      <table>
        <caption>{caption}</caption>
        <thead>
          <tr>
            <th scope="col">{corner}</th>
            {lengths.map((length) => (
              <th scope="col" key={length}>
                {short(length)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.head}>
              <th scope="row">{row.head}</th>
              {lengths.map((length) => (
                <td key={length}>{row.cell(length)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

interface SquareProps {
  cell: Cell | undefined;
  current: boolean;
  onCell: (cell: Cell) => void;
}

function Square({ cell, current, onCell }: SquareProps) {
  const t = useStrings();
  if (!cell?.count) return <span title={cell?.skipped ?? t.notRun}>–</span>;
  const depth = cell.depth === null ? "" : `, ${t.depthAt(deep(cell.depth))}`;
  return (
    <button
      type="button"
      className="square"
      aria-pressed={current}
      aria-label={t.cell(`${short(cell.length)}${depth}`, cell.right, cell.count)}
      style={{ background: colour(cell.share ?? 0) }}
      onClick={() => onCell(cell)}
    >
      {percent(cell.share)}
    </button>
  );
}

function Pooled({ report, length }: { report: Report; length: number }) {
  const row = report.pooled.find((one) => one.family === "needle" && one.length === length);
  if (!row?.count) return "–";
  const [low, high] = row.interval;
  return (
    <>
      <b>{percent(row.share)}</b>
      <small>
        {row.right}/{row.count}
        <br />
        {percent(low)}–{percent(high)}
      </small>
    </>
  );
}

function Trials({ cell }: { cell: Cell }) {
  const t = useStrings();
  const [wrongOnly, setWrongOnly] = useState(false);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    heading.current?.focus();
  }, []);
  const shown = cell.trials.filter((trial) => !wrongOnly || !trial.right);
  const depth = cell.depth === null ? "" : `, ${t.depthAt(deep(cell.depth))}`;
  return (
    <section className="trials" aria-labelledby="trials-title">
      <header className="bar">
        <h2 id="trials-title" ref={heading} tabIndex={-1}>
          {t.trials}: {short(cell.length)}
          {depth}
        </h2>
        <label className="check">
          <input
            type="checkbox"
            checked={wrongOnly}
            onChange={(event) => setWrongOnly(event.target.checked)}
          />
          {t.wrongOnly}
        </label>
      </header>
      {shown.length === 0 && <p className="dim">{t.noneWrong}</p>}
      <ul>
        {shown.map((trial) => (
          <li key={`${trial.line} ${trial.question} ${trial.expected}`}>
            <p className="question">{trial.question.split("\n")[0]}</p>
            <p className="said">
              <b className={trial.right ? "right" : "problem"}>{trial.right ? t.right : t.wrong}</b>{" "}
              {trial.text} <small className="dim">({trial.kind})</small>
            </p>
            <p className="dim">
              {[
                `${t.expected} ${trial.expected.join(", ") || "absent"}`,
                trial.line && `${t.needleAt} ${t.line(trial.line)}`,
                trial.place && `${t.readAt} ${trial.place}`,
                `${trial.seconds.toFixed(2)} s`,
                trial.audit &&
                  `${t.inFull}: ${trial.audit.agrees ? t.theSame : trial.audit.text || trial.audit.kind}`,
              ]
                .filter(Boolean)
                .join(" · ")}
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}
