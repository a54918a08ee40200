-- 100,000 orders made by SQL itself, then indexes, joins, aggregates, updates
-- and deletes over them. Every value comes from an integer recurrence, every
-- result is ordered or a checksum, so the output is the same everywhere.

PRAGMA journal_mode = MEMORY;

CREATE TABLE customer (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    region INTEGER NOT NULL,
    credit INTEGER NOT NULL
);
CREATE TABLE product (
    id INTEGER PRIMARY KEY,
    code TEXT NOT NULL UNIQUE,
    price INTEGER NOT NULL,
    stock INTEGER NOT NULL
);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL,
    product_id INTEGER NOT NULL,
    quantity INTEGER NOT NULL,
    day INTEGER NOT NULL,
    note TEXT
);

BEGIN;
WITH RECURSIVE seq(n, r) AS (
    SELECT 1, 12345
    UNION ALL
    SELECT n + 1, (r * 1103515245 + 12345) & 0x7fffffff FROM seq WHERE n < 2000
)
INSERT INTO customer
SELECT n, printf('customer-%05d-%s', n, char(97 + (r >> 8) % 26, 97 + (r >> 13) % 26)),
       (r >> 10) % 12, (r >> 7) % 5000
FROM seq;

WITH RECURSIVE seq(n, r) AS (
    SELECT 1, 777
    UNION ALL
    SELECT n + 1, (r * 1103515245 + 12345) & 0x7fffffff FROM seq WHERE n < 500
)
INSERT INTO product
SELECT n, printf('P%04x-%03d', (r >> 8) & 0xffff, n), 100 + (r >> 9) % 9900, 1000 FROM seq;

WITH RECURSIVE seq(n, r) AS (
    SELECT 1, 42
    UNION ALL
    SELECT n + 1, (r * 1103515245 + 12345) & 0x7fffffff FROM seq WHERE n < 100000
)
INSERT INTO orders
SELECT n, 1 + (r >> 8) % 2000, 1 + (r >> 11) % 500, 1 + (r >> 6) % 9, (r >> 14) % 365,
       CASE WHEN r % 7 = 0 THEN NULL ELSE 'note ' || (n % 1000) || ' of ' || r END
FROM seq;
COMMIT;

SELECT 'rows', (SELECT count(*) FROM customer), (SELECT count(*) FROM product),
       (SELECT count(*) FROM orders);

CREATE INDEX orders_customer ON orders(customer_id, day);
CREATE INDEX orders_product ON orders(product_id);

SELECT 'checksum', sum(id * 31 + customer_id * 7 + product_id * 3 + quantity + day),
       sum(length(note)), count(note)
FROM orders;

SELECT 'region', c.region, count(*), sum(o.quantity * p.price), max(o.day)
FROM orders o JOIN customer c ON c.id = o.customer_id JOIN product p ON p.id = o.product_id
WHERE o.day >= 330
GROUP BY c.region
ORDER BY c.region;

SELECT 'best', c.name, sum(o.quantity * p.price) AS spent
FROM orders o JOIN customer c ON c.id = o.customer_id JOIN product p ON p.id = o.product_id
WHERE o.day BETWEEN 90 AND 120
GROUP BY c.id
ORDER BY spent DESC, c.id
LIMIT 5;

SELECT 'running', day, total, sum(total) OVER (ORDER BY day)
FROM (SELECT day, sum(quantity) AS total FROM orders WHERE day < 40 GROUP BY day)
ORDER BY day
LIMIT 10;

SELECT 'rank', region, name, credit
FROM (SELECT region, name, credit,
             row_number() OVER (PARTITION BY region ORDER BY credit DESC, id) AS place
      FROM customer)
WHERE place = 1
ORDER BY region;

SELECT 'like', count(*) FROM orders WHERE day = 100 AND note LIKE '%of 5%3%';
SELECT 'lookup', sum(q) FROM (
    SELECT (SELECT sum(quantity) FROM orders o WHERE o.customer_id = c.id AND o.day < 100) AS q
    FROM customer c);

BEGIN;
UPDATE orders SET quantity = quantity + 1 WHERE product_id % 40 = 3;
SELECT 'updated', changes();
UPDATE product SET stock = stock - coalesce(
    (SELECT sum(quantity) FROM orders WHERE product_id = product.id), 0);
DELETE FROM orders WHERE day % 13 = 2;
SELECT 'deleted', changes();
UPDATE orders SET customer_id = customer_id % 500 + 1 WHERE day > 345;
SELECT 'moved', changes();
COMMIT;

SELECT 'stock', sum(stock), min(stock), max(stock) FROM product;
SELECT 'distinct', count(DISTINCT customer_id), count(DISTINCT substr(note, 1, 8)) FROM orders
WHERE id > 80000;
SELECT 'sorted', sum(place * id % 1009) FROM (
    SELECT id, row_number() OVER (ORDER BY note, id) AS place FROM orders
    WHERE note IS NOT NULL AND id % 6 = 1);
SELECT 'average', round(avg(quantity), 6), round(avg(day * 1.0 / quantity), 6) FROM orders;

CREATE TEMP TABLE summary AS
SELECT day, product_id, sum(quantity) AS quantity FROM orders WHERE day < 60
GROUP BY day, product_id;
SELECT 'summary', count(*), sum(quantity * (day + 1)) FROM summary;
SELECT 'missing', count(*) FROM product p
WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.product_id = p.id AND o.day = 7 * (p.id % 50));
SELECT 'words', group_concat(word, ' ') FROM (
    SELECT substr(note, instr(note, 'of ') + 3, 3) AS word FROM orders
    WHERE note IS NOT NULL AND id < 20000 GROUP BY word HAVING count(*) > 5 ORDER BY count(*) DESC, word LIMIT 8);
SELECT 'json', json_group_array(json_object('day', day, 'n', n)) FROM (
    SELECT day, count(*) AS n FROM orders WHERE day > 300 GROUP BY day ORDER BY n DESC, day LIMIT 4);

PRAGMA quick_check;
