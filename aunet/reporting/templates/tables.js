"use strict";
// Tables with a head sort by a click on a column's name; a further click reverses the order.

function sortKey(cell) {
  const text = cell.firstChild?.nodeType === Node.TEXT_NODE ? cell.firstChild.textContent : cell.textContent;
  const number = parseFloat(text.trim().replace(/^[+]/, "").replace("−", "-").replace(/,(?=\d{3})/g, ""));
  return { text: text.trim(), number };
}

// Numbers ascend and precede cells without one, such as "undefined", whatever the direction.
function compareCells(first, second, direction) {
  const isNumber = [!Number.isNaN(first.number), !Number.isNaN(second.number)];
  if (isNumber[0] && isNumber[1]) return direction * (first.number - second.number);
  if (isNumber[0] !== isNumber[1]) return isNumber[0] ? -1 : 1;
  return direction * first.text.localeCompare(second.text, undefined, { numeric: true });
}

// Each group of rows is sorted by itself; the name of a group, shown once before, then appears in each of its rows.
function sortTable(table, column, direction) {
  table.classList.add("sorted");
  for (const body of table.tBodies) {
    const keyed = [...body.rows].map((row) => ({ row, key: sortKey(row.cells[column]) }));
    keyed.sort((first, second) => compareCells(first.key, second.key, direction));
    body.append(...keyed.map(({ row }) => row));
  }
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const isAscending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", isAscending ? "ascending" : "descending");
      sortTable(table, column, isAscending ? 1 : -1);
    });
  });
}
