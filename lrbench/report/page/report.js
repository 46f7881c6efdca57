"use strict";
JSON.parse(document.getElementById("data").textContent).tasks.forEach(Report.show);
