module counter #(parameter W = 8) (input clk, input rst, input en, output reg [W-1:0] q);
  always @(posedge clk) if (rst) q <= 0; else if (en) q <= q + 1;
endmodule
module mac (input clk, input rst, input [15:0] a, input [15:0] b, output reg [39:0] acc);
  wire [31:0] p = a * b;
  always @(posedge clk) if (rst) acc <= 0; else acc <= acc + p;
endmodule
module top (input clk, input rst, input en, input [15:0] a, input [15:0] b, output [39:0] acc, output [7:0] q0, output [11:0] q1, output [23:0] q2);
  mac m (.clk(clk), .rst(rst), .a(a), .b(b), .acc(acc));
  counter #(8) c0 (.clk(clk), .rst(rst), .en(en), .q(q0));
  counter #(12) c1 (.clk(clk), .rst(rst), .en(q0[0]), .q(q1));
  counter #(24) c2 (.clk(clk), .rst(rst), .en(q1[3]), .q(q2));
endmodule
