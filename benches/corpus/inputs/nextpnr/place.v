// A small design to place: a multiplier whose inputs come from shift registers, a counter, a noise generator, and what they drive.
module place (input clk, input rst, input a_in, input b_in, input [1:0] select, output [7:0] leds, output pwm);
  reg [7:0] a, b;
  reg [19:0] acc;
  reg [22:0] count;
  reg [15:0] noise;
  wire [15:0] product = a * b;
  always @(posedge clk) begin
    a <= {a[6:0], a_in};
    b <= {b[6:0], b_in};
    if (rst) begin
      acc <= 0;
      count <= 0;
      noise <= 1;
    end else begin
      acc <= acc + product;
      count <= count + 1;
      noise <= {noise[14:0], noise[15] ^ noise[13] ^ noise[12] ^ noise[10]};
    end
  end
  assign leds = select == 0 ? acc[19:12] : select == 1 ? count[22:15] : select == 2 ? noise[7:0] : product[15:8];
  assign pwm = count[7:0] < noise[15:8];
endmodule
